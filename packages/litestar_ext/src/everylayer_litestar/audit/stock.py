"""Litestar's own OpenTelemetry middleware, in each app once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from litestar import Litestar
from litestar.middleware import DefineMiddleware

from everylayer.boundaries.patch import Patch, Switch

from .walk import line, stacks

_CLASSES = {"OpenTelemetryInstrumentationMiddleware", "OpenTelemetryMiddleware"}
_PACKAGE = "opentelemetry-instrumentation-asgi"


def is_stock(layer: Any) -> bool:
    """Tell whether `layer`, a middleware or its class, starts a server span for OpenTelemetry."""
    cls = layer if isinstance(layer, type) else type(layer)
    return any(base.__name__ in _CLASSES for base in cls.__mro__)


# Apps that a layer outside starts the span for, by identity.
_surrounded: set[int] = set()


def _creating(original: Any, switch: Switch) -> Any:
    def _create_asgi_handler(self: Any) -> Any:
        built = original(self)
        wanted = switch.on and id(self) not in _surrounded and not _is_held(self, built)
        config = _config() if wanted else None
        return built if config is None else config().middleware(app=built)

    return _create_asgi_handler


# Innermost of all that is done there: what everylayer adds looks for it.
PATCH = Patch(Litestar, "_create_asgi_handler", _creating)


def take_back(app: Any) -> None:
    """Build what stands around the router of `app` once more, without what was added."""
    _surrounded.add(id(app))
    app.asgi_handler = app._create_asgi_handler()


def missing(app: Any) -> str:
    """Return why stock is not on for `app`, "" if it is."""
    if _is_held(app, app.asgi_handler):
        return ""
    if _config() is None:
        return f"{_PACKAGE} is not installed: pip install {_PACKAGE}"
    return "the app was made before the audit began"


def _config() -> Any:
    """Return the class that an app's OpenTelemetry is configured by, None where it is missing."""
    try:
        from litestar.plugins.opentelemetry import OpenTelemetryConfig
    except ModuleNotFoundError:  # Before 2.18.
        pass
    except Exception:  # noqa: BLE001 - Litestar's own word for what is not installed
        return None
    else:
        return OpenTelemetryConfig
    try:
        from litestar.contrib.opentelemetry import OpenTelemetryConfig as Older
    except Exception:  # noqa: BLE001 - the same
        return None
    return Older


def _is_held(app: Any, handler: Any) -> bool:
    return any(map(is_stock, line(handler))) or any(map(is_stock, _given(app)))


def _given(app: Any) -> Iterator[Any]:
    """Yield what is given as middleware at any level."""
    for handler, _, _ in stacks(app):
        for entry in handler.resolve_middleware():
            yield entry.middleware if isinstance(entry, DefineMiddleware) else entry
