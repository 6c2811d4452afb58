"""What `everylayer audit` asks of Starlette and FastAPI."""

from __future__ import annotations

from .adapter import StarletteAdapter

__all__ = ["StarletteAdapter"]
