"""Starlette's, FastAPI's and ASGI's layers on the active OpenTelemetry span."""

from __future__ import annotations

from .middleware import EveryLayerMiddleware

__version__ = "0.1.0"

__all__ = ["EveryLayerMiddleware", "__version__"]
