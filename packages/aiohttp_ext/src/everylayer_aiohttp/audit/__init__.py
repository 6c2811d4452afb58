"""The part of `everylayer audit` that knows aiohttp; loaded by the command alone."""

from __future__ import annotations

from .adapter import AiohttpAdapter

__all__ = ["AiohttpAdapter"]
