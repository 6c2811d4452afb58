"""The layers of aiohttp's server on the active OpenTelemetry span."""

from __future__ import annotations

try:
    import aiohttp as _aiohttp  # noqa: F401 - to say clearly what is missing
except ModuleNotFoundError as _error:
    raise ImportError(
        "everylayer_aiohttp needs aiohttp 3.11 or later, which is not installed: "
        "pip install 'aiohttp>=3.11'"
    ) from _error

from .middleware import setup

__version__ = "0.1.0"

__all__ = ["__version__", "setup"]
