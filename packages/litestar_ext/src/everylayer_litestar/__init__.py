"""Litestar's layers on the active OpenTelemetry span."""

from __future__ import annotations

try:
    import litestar as _litestar  # noqa: F401 - to say clearly what is missing
except ModuleNotFoundError as _error:
    raise ImportError(
        "everylayer_litestar needs Litestar 2.15 or later, which is not installed: "
        "pip install 'litestar>=2.15'"
    ) from _error

from .plugin import EveryLayerPlugin

__version__ = "0.1.0"

__all__ = ["EveryLayerPlugin", "__version__"]
