"""What kind of part stands in a chain, and what shows everylayer the errors that cross it."""

from __future__ import annotations

import functools
import inspect
from typing import Any

from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.errors import ServerErrorMiddleware

from everylayer.asgi import Seam

from ..naming import is_machinery
from ..passing import passes_on
from ..seams import starts_span
from .shapes import MODULE as SHAPES

ENDPOINT = "named from the traceback"
HANDLER = "exception handler choke point"
HOOK = "named from the traceback"
MOUNT = "probe before the mounted app"
ROUTER = "probe before the router"

# It parses the file of the class.
_passes_on = functools.cache(passes_on)
_PROBES = {"everylayer.asgi", "everylayer_starlette.seams"}
_ADDED = ("opentelemetry.instrumentation.", SHAPES)


def is_probe(app: Any) -> bool:
    """Tell whether `app` is a closure of everylayer's that stands between two layers."""
    return inspect.isfunction(app) and app.__globals__.get("__name__") in _PROBES


def is_added(layer: Any, held: Any, held_there: Any) -> bool:
    """Tell whether `layer` is there for the sake of telemetry, or of the audit.

    Args:
        held, held_there: the app inside it, and the one inside that: FastAPI's instrumentation
            adds a layer of Starlette's, too.
    """
    cls = type(layer)
    if isinstance(layer, Seam) or starts_span(cls) or cls.__module__.startswith(_ADDED):
        return True
    return isinstance(layer, ServerErrorMiddleware) and (
        starts_span(type(held)) and isinstance(held_there, ServerErrorMiddleware)
    )


def kind_of(app: Any, *, end: bool) -> str:
    """Return the kind of a layer, or of the `end` of a chain."""
    if end:
        return "wsgi" if "WSGI" in type(app).__name__ else "asgi"
    if inspect.isroutine(app) or isinstance(app, functools.partial):
        return "function"
    return "function" if type(app) is BaseHTTPMiddleware else "class"


def seam_of(app: Any, *, end: bool) -> str:
    """Return what everylayer uses to see an error cross `app`."""
    if end:
        return "probe before the app"
    if is_machinery(str(getattr(type(app), "__module__", ""))) and not inspect.isroutine(app):
        return "part of the framework"
    if isinstance(app, BaseHTTPMiddleware):
        return "probe between layers that watches the response"
    cls: Any = type(app)
    if _passes_on(cls):
        return "passes errors on: no probe needed"
    return "probe between layers"
