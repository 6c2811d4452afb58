"""Every error of every Django middleware, hook and view on the active OpenTelemetry span."""

from __future__ import annotations

try:
    import django as _django  # noqa: F401 - to say clearly what is missing
except ModuleNotFoundError as _error:
    raise ImportError(
        "everylayer_django needs Django 4.2 or later, which is not installed: "
        "pip install 'django>=4.2'"
    ) from _error

from .instrumentor import EveryLayerDjangoInstrumentor
from .middleware import EveryLayerMiddleware

__version__ = "0.1.0"

__all__ = ["EveryLayerDjangoInstrumentor", "EveryLayerMiddleware", "__version__"]
