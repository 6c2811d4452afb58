"""HTTP clients that read what other services tell of their errors."""

from __future__ import annotations

from . import httpx, requests, urllib3

__all__ = ["httpx", "requests", "urllib3"]
