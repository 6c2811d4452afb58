"""Every patch of Django and of its stock instrumentation: target, why, and how it is undone.

| target | why there |
|---|---|
| `BaseHandler.load_middleware` | start-up: bad settings fail here |
| `BaseHandler.get_response`, `get_response_async` | outermost: the outcome is known, the server span begins |
| `BaseHandler.process_exception_by_middleware` | only on a view's error: hooks that answer or fail |
| `exception.response_for_exception` | only on an error: every layer's |
| `exception.handle_uncaught_exception` | only on an error: that of a 4xx handler |
| `WSGIHandler.__call__`, `ASGIHandler.__call__` | what fails before or after the chain |
| `ASGIHandler.create_request` | requests that cannot be read |
| `HttpResponseBase.close` | resources and `request_finished` |
| stock's `_DjangoMiddleware.__call__`, `process_view`, `process_exception`, `_get_span_name` | its leaks and its own failures |

All fit Django 4.2 to 6.1 and opentelemetry-instrumentation-django 0.60b0 to 0.66b1. One whose target
has other parameters is left out, with a line in the log. Undoing puts back what was found, unless
something else has patched the target since: then ours stays, as it cannot be taken out.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import logging
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import django

from . import handlers, stock

_logger = logging.getLogger("everylayer")
_lock = threading.Lock()

_BASE = "django.core.handlers.base:BaseHandler"
_EXCEPTION = "django.core.handlers.exception:"
_STOCK = "opentelemetry.instrumentation.django.middleware.otel_middleware:_DjangoMiddleware"


class Patch(NamedTuple):
    """One replacement of a function.

    Attributes:
        owner: `module:class`, or `module:` for a function of the module.
        name: of the function there.
        parameters: what it must take for the replacement to fit.
        make: builds the replacement from the original.
    """

    owner: str
    name: str
    parameters: tuple[str, ...]
    make: Callable[[Callable[..., Any]], Callable[..., Any]]


PATCHES = (
    Patch(_BASE, "load_middleware", ("self", "is_async"), handlers.load_middleware),
    Patch(_BASE, "get_response", ("self", "request"), handlers.get_response),
    Patch(_BASE, "get_response_async", ("self", "request"), handlers.get_response_async),
    Patch(
        _BASE,
        "process_exception_by_middleware",
        ("self", "exception", "request"),
        handlers.process_exception_by_middleware,
    ),
    Patch(
        _EXCEPTION, "response_for_exception", ("request", "exc"), handlers.response_for_exception
    ),
    Patch(
        _EXCEPTION,
        "handle_uncaught_exception",
        ("request", "resolver", "exc_info"),
        handlers.handle_uncaught_exception,
    ),
    Patch(
        "django.core.handlers.wsgi:WSGIHandler",
        "__call__",
        ("self", "environ", "start_response"),
        handlers.call_wsgi,
    ),
    Patch(
        "django.core.handlers.asgi:ASGIHandler",
        "__call__",
        ("self", "scope", "receive", "send"),
        handlers.call_asgi,
    ),
    Patch(
        "django.core.handlers.asgi:ASGIHandler",
        "create_request",
        ("self", "scope", "body_file"),
        handlers.create_request,
    ),
    Patch("django.http.response:HttpResponseBase", "close", ("self",), handlers.close),
    Patch(_STOCK, "__call__", ("self", "request"), stock.call),
    Patch(
        _STOCK,
        "process_view",
        ("self", "request", "view_func", "args", "kwargs"),
        stock.only_with_a_span,
    ),
    Patch(_STOCK, "process_exception", ("self", "request", "exception"), stock.only_with_a_span),
    Patch(_STOCK, "_get_span_name", ("request",), stock.span_name),
)


class _Done(NamedTuple):
    owner: Any
    name: str
    found: Any
    ours: Any


_done: list[_Done] = []


def installed() -> bool:
    """Tell whether the seams are in place."""
    return bool(_done)


def install() -> None:
    """Put every seam in place; those that are stay as they are."""
    with _lock:
        if not _done:
            _done.extend(done for patch in PATCHES if (done := _apply(patch)) is not None)


def uninstall() -> None:
    """Put back what `install` found."""
    with _lock:
        while _done:
            owner, name, found, ours = _done.pop()
            if vars(owner).get(name) is not ours:
                _logger.warning("everylayer leaves %s in place: it was patched again since", name)
            elif found is _INHERITED:
                delattr(owner, name)
            else:
                setattr(owner, name, found)


_INHERITED = object()


def _apply(patch: Patch) -> _Done | None:
    module_name, _, class_name = patch.owner.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError:
        return None  # stock is not installed
    owner = getattr(module, class_name, None) if class_name else module
    original = getattr(owner, patch.name, None)
    if owner is None or original is None or not _fits(original, patch.parameters):
        _logger.warning(
            "everylayer does not know %s.%s of Django %s and leaves it alone; errors that only show "
            "there will be missing from the trace. Look for a newer everylayer-django.",
            patch.owner.replace(":", "."),
            patch.name,
            django.get_version(),
        )
        return None
    ours: Any = functools.wraps(original)(patch.make(original))
    found = vars(owner).get(patch.name, _INHERITED)
    if isinstance(found, staticmethod):
        ours = staticmethod(ours)
    setattr(owner, patch.name, ours)
    return _Done(owner, patch.name, found, ours)


def _fits(function: Any, parameters: tuple[str, ...]) -> bool:
    try:
        return tuple(inspect.signature(function).parameters) == parameters
    except (TypeError, ValueError):
        return False
