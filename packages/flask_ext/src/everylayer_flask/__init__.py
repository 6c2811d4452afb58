"""Flask's and WSGI's layers on the active OpenTelemetry span."""

from __future__ import annotations

try:
    import flask as _flask  # noqa: F401 - to say clearly what is missing
except ModuleNotFoundError as _error:
    raise ImportError(
        "everylayer_flask needs Flask 2.3 or later, which is not installed: "
        "pip install 'flask>=2.3'"
    ) from _error

from .extension import EveryLayer, EveryLayerMiddleware

__version__ = "0.1.0"

__all__ = ["EveryLayer", "EveryLayerMiddleware", "__version__"]
