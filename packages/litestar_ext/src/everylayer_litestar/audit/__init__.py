"""The part of `everylayer audit` that knows Litestar; loaded by the command alone."""

from __future__ import annotations

from .adapter import LitestarAdapter

__all__ = ["LitestarAdapter"]
