"""The middleware that Starlette builds its chain from, with a probe before each layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware

from everylayer.failsafe import contained

from . import handled
from .passing import passes_on
from .seams import (
    Claim,
    binding_probe,
    probe,
    show_handlers,
    starts_span,
    unprobed,
    watching_probe,
)

# In the `__dict__` of everylayer's own middleware.
ENTRY = "_everylayer_entry"
_INSTRUMENTED = "_is_instrumented_by_opentelemetry"


@contained
def interleaved(app: Any, claim: Claim) -> list[Middleware]:
    """Return the app's own middleware with a probe around each, and without ours."""
    entries = [entry for entry in app.user_middleware if not is_ours(entry.cls)]
    within = any(starts_span(entry.cls) for entry in entries)
    inside = getattr(app, _INSTRUMENTED, False) and not within
    claim.binds = not (inside or within)
    # An error that crosses the outermost layer meets `ServerErrorMiddleware`, and then our own
    # call; only its debug page may fail for it without showing it.
    outer = binding_probe if inside else probe if app.debug else unprobed
    makers = [outer, *map(_inside_of, entries)]
    made: list[Middleware] = []
    for index, entry in enumerate(entries):
        claim.layers.add_layer(entry.cls, index)
        handled.watch(entry.cls, claim)
        made += [Middleware(_prober(claim, index, makers[index])), entry]
    return [*made, Middleware(_prober(claim, None, makers[-1]))]


def starts_span_itself(app: Any) -> bool:
    """Tell whether `app` starts its server spans: by stock's layer, or by FastAPI's telemetry."""
    native = getattr(app, "_native_telemetry", None)
    return (
        getattr(app, _INSTRUMENTED, False)
        or any(starts_span(entry.cls) for entry in getattr(app, "user_middleware", ()))
        or (native is not None and native.enabled())
    )


def _inside_of(entry: Middleware) -> Callable[[Any, Claim], Any]:
    if starts_span(entry.cls):
        return binding_probe
    if isinstance(entry.cls, type) and issubclass(entry.cls, BaseHTTPMiddleware):
        return watching_probe
    return unprobed if passes_on(entry.cls) else probe


def is_ours(cls: Any) -> bool:
    """Tell whether `cls` is everylayer's own middleware."""
    return ENTRY in getattr(cls, "__dict__", ())


def _prober(claim: Claim, index: int | None, make: Callable[[Any, Claim], Any]) -> Any:
    def insert(app: Any) -> Any:
        _note(app, claim, index)
        return make(app, claim)

    return insert


@contained
def _note(made: Any, claim: Claim, index: int | None) -> None:
    if index is None:
        show_handlers(made, claim)
    else:
        claim.layers.add_layer(made, index)
        handled.watch(made, claim)
