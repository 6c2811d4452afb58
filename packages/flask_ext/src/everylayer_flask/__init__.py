"""Flask's and WSGI's layers on the active OpenTelemetry span."""

from __future__ import annotations

from .extension import EveryLayer, EveryLayerMiddleware

__version__ = "0.1.0"

__all__ = ["EveryLayer", "EveryLayerMiddleware", "__version__"]
