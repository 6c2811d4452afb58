"""Starlette's, FastAPI's and ASGI's layers on the active OpenTelemetry span."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

try:
    import starlette as _starlette  # noqa: F401 - to say clearly what is missing
except ModuleNotFoundError as _error:
    raise ImportError(
        "everylayer_starlette needs Starlette 0.37 or later, which is not installed: "
        "pip install 'starlette>=0.37'"
    ) from _error

if TYPE_CHECKING:
    from .middleware import EveryLayerMiddleware

__version__ = "0.1.0"

__all__ = ["EveryLayerMiddleware", "__version__"]


def __getattr__(name: str) -> Any:
    # Naming the middleware puts the seams in place; loading the instrumentor alone must not.
    if name == "EveryLayerMiddleware":
        from .middleware import EveryLayerMiddleware

        return EveryLayerMiddleware
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
