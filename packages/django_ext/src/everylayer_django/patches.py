"""Every patch of Django and of its stock instrumentation: target, why, and how it is undone.

All fit Django 4.2 to 6.1 and opentelemetry-instrumentation-django 0.60b0 to 0.66b1. One whose
target has other parameters is left out, with a line in the log. Undoing puts back what was found,
unless something else has patched the target since: then ours stays, as it cannot be taken out.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from everylayer.boundaries.patch import Patch as Replaced
from everylayer.fit import takes, warn_left_alone
from everylayer.forks import ForkLock

from . import handled, handlers, stock, tenants

_logger = logging.getLogger("everylayer")
_lock = ForkLock()

_BASE = "django.core.handlers.base:BaseHandler"
_EXCEPTION = "django.core.handlers.exception:"
_WSGI = "django.core.handlers.wsgi:WSGIHandler"
_ASGI = "django.core.handlers.asgi:ASGIHandler"
_RESPONSE = "django.http.response:HttpResponseBase"
_STOCK = "opentelemetry.instrumentation.django.middleware.otel_middleware:_DjangoMiddleware"


class Patch(NamedTuple):
    """One replacement of a function.

    Attributes:
        owner: `module:class`, or `module:` for a function of the module.
        name: of the function there.
        parameters: what it must take for the replacement to fit.
        make: builds the replacement from the original.
        why: what only shows there.
    """

    owner: str
    name: str
    parameters: str
    make: Callable[[Callable[..., Any]], Callable[..., Any]]
    why: str


# fmt: off
PATCHES = (
    Patch(_BASE, "load_middleware", "self is_async", handlers.load_middleware,
          "bad settings, at start-up"),
    Patch(_BASE, "get_response", "self request", handlers.get_response,
          "the outcome of a request, what escapes, where its server span begins"),
    Patch(_BASE, "get_response_async", "self request", handlers.get_response_async,
          "the outcome of an ASGI request, what escapes, where its server span begins"),
    Patch(_BASE, "process_exception_by_middleware", "self exception request",
          handlers.process_exception_by_middleware,
          "errors of views, and of the hooks that answer for them"),
    Patch(_EXCEPTION, "response_for_exception", "request exc", handlers.response_for_exception,
          "errors of every layer, of handler500 and of got_request_exception"),
    Patch(_EXCEPTION, "handle_uncaught_exception", "request resolver exc_info",
          handlers.handle_uncaught_exception, "errors of the other error handlers"),
    Patch(_WSGI, "__call__", "self environ start_response", handlers.call_wsgi,
          "errors before and after the chain"),
    Patch(_ASGI, "__call__", "self scope receive send", handlers.call_asgi,
          "errors before and after the chain under ASGI"),
    Patch(_ASGI, "create_request", "self scope body_file", handlers.create_request,
          "requests that cannot be read"),
    Patch(_RESPONSE, "close", "self", handlers.close,
          "errors of resources and of request_finished; the end of a stream"),
    Patch(_STOCK, "__call__", "self request", stock.call,
          "stock's span and context, which it leaks"),
    Patch(_STOCK, "process_view", "self request view_func args kwargs", stock.process_view,
          "stock's own failure where it began no span, and a URL that nobody reads"),
    Patch(_STOCK, "process_exception", "self request exception", stock.process_exception,
          "stock's failure after a view's error, and what has been seen already"),
    Patch(_STOCK, "_get_span_name", "request", stock.span_name, "stock's second resolve()"),
)
# fmt: on


_done: list[tuple[str, Replaced]] = []


def installed() -> bool:
    """Tell whether the seams are in place."""
    return bool(_done)


def install() -> None:
    """Put every seam in place; those that are stay as they are."""
    with _lock:
        if not _done:
            _done.extend((each.name, put) for each in PATCHES if (put := _apply(each)))


def uninstall() -> None:
    """Put back what `install` found."""
    handled.leave()
    tenants.release_all()
    with _lock:
        while _done:
            name, replaced = _done.pop()
            if not replaced.undo():
                _logger.warning("everylayer leaves %s in place: it was patched again since", name)


def _apply(patch: Patch) -> Replaced | None:
    module_name, _, class_name = patch.owner.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError:
        return None  # stock is not installed
    owner = getattr(module, class_name, None) if class_name else module
    original = getattr(owner, patch.name, None)
    if owner is None or original is None or not takes(original, patch.parameters):
        warn_left_alone(
            f"{patch.owner.replace(':', '.').rstrip('.')}.{patch.name}",
            "opentelemetry-instrumentation-django" if patch.owner == _STOCK else "Django",
            patch.why,
            "everylayer-django",
        )
        return None
    replaced = Replaced(owner, patch.name, lambda before, _: patch.make(before))
    replaced.put()
    return replaced
