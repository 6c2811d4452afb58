"""OpenTelemetry's own instrumentation of aiohttp's server, in each app once."""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import Any

from aiohttp import web
from aiohttp.web_app import Application

from everylayer.boundaries.patch import Patch, Switch

_PACKAGE = "opentelemetry-instrumentation-aiohttp-server"
ABSENT = f"{_PACKAGE} is not installed: pip install {_PACKAGE}"


def is_stock(layer: Any) -> bool:
    """Tell whether `layer` is a middleware of OpenTelemetry's."""
    return str(getattr(layer, "__module__", "")).startswith("opentelemetry.")


def _making(original: Any, switch: Switch) -> Any:
    def __init__(app: Any, *args: Any, **kwargs: Any) -> None:
        original(app, *args, **kwargs)
        if switch.on:
            put(app.middlewares)

    return __init__


PATCH = Patch(Application, "__init__", _making)


def switch_on() -> None:
    """Have each app that is made from now on begin a span, sub-apps too."""
    try:
        from opentelemetry.instrumentation.aiohttp_server import AioHttpServerInstrumentor
    except ImportError:
        return
    plain = web.Application
    AioHttpServerInstrumentor().instrument()
    # Its own class fails where middlewares are given as a tuple, and changes a list that is shared.
    web.Application = plain  # type: ignore[misc]
    PATCH.put()


def put(middlewares: MutableSequence[Any]) -> str:
    """Put stock's middleware first, unless one is there; return why that cannot be done."""
    if any(map(is_stock, middlewares)):
        return ""
    try:
        from opentelemetry.instrumentation import aiohttp_server
    except ImportError:
        return ABSENT
    if not aiohttp_server.AioHttpServerInstrumentor().is_instrumented_by_opentelemetry:
        return f"{_PACKAGE} does not fit the aiohttp that is installed, and stays off"
    # What it has made at its import knows no tracer.
    make = getattr(aiohttp_server, "create_aiohttp_middleware", None)
    middlewares.insert(0, aiohttp_server.middleware if make is None else make())
    return ""
