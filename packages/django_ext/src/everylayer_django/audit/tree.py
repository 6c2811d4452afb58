"""The chain of a handler as a request passes it, outermost first."""

from __future__ import annotations

from typing import Any

from django.core.handlers.asgi import ASGIHandler

from everylayer.audit.adapter import Chain
from everylayer.audit.model import Request
from everylayer.audit.parts import INSTRUMENTATION, Part, numbered

from .. import patches
from ..locate import OWN
from .around import handlers, receivers
from .functions import where
from .layers import layer_part
from .load import load
from .view import endpoints


def read(handler: Any, request: Request) -> Chain:
    """Build the chain of `handler` anew and return it, with the view that answers `request`."""
    views = endpoints(handler, request)
    entries = [entry for entry in load(handler) if not entry.path.startswith(OWN)]
    parts = [
        _handler(handler),
        *receivers("request_started", handler),
        *map(layer_part, entries),
        *views,
        *handlers(),
        *receivers("got_request_exception", handler),
        *receivers("request_finished", handler),
    ]
    if patches.installed():
        parts.insert(0, Part("EveryLayer", INSTRUMENTATION, seam="in Django itself, no layer"))
    return numbered(parts)


def _handler(handler: Any) -> Part:
    cls = type(handler)
    is_async = isinstance(handler, ASGIHandler)
    return Part(
        cls.__qualname__,
        "asgi" if is_async else "wsgi",
        where=where(cls),
        mode="async" if is_async else "sync",
        seam=f"{cls.__qualname__}.__call__",
    )
