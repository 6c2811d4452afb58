"""The audit's view of a Django project: its chain, and where a fault can be put in it."""

from __future__ import annotations

from .adapter import DjangoAdapter

__all__ = ["DjangoAdapter"]
