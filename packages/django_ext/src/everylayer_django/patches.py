"""Every patch of Django and of its stock instrumentation: target, why, and how it is undone.

All fit Django 4.2 to 6.1, opentelemetry-instrumentation-django 0.60b0 to 0.66b1, and REST
framework 3.14 to 3.18, which is patched when the app has imported it. One whose target has other
parameters is left out, with a line in the log. Undoing puts back what was found, unless something
else has patched the target since: then ours stays, as it cannot be taken out, and only passes on.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable
from inspect import iscoroutinefunction
from types import FunctionType
from typing import Any, NamedTuple

from everylayer import here
from everylayer.boundaries.patch import Patch as Replaced
from everylayer.failsafe import contained
from everylayer.fit import takes, warn_left_alone
from everylayer.forks import ForkLock

from . import config, drf, handled, handlers, stock, tenants

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
LATER = Patch(
    f"{drf.MODULE}:{drf.CLASS}",
    "handle_exception",
    "self exc",
    drf.handle_exception,
    "errors that REST framework's EXCEPTION_HANDLER answers",
)  # fmt: skip


_BROUGHT_BY = {_STOCK: "opentelemetry-instrumentation-django", LATER.owner: "djangorestframework"}
_MADE = "__init_subclass__"
_done: list[tuple[str, Replaced]] = []


def installed() -> bool:
    """Tell whether the seams are in place."""
    return bool(_done)


def install() -> None:
    """Put every seam in place; those that are stay as they are."""
    with _lock:
        if _done:
            return
        _done.extend((each.name, put) for each in PATCHES if (put := _apply(each)))
        if _done:
            if drf.MODULE in sys.modules:
                _arrived(getattr(sys.modules[drf.MODULE], drf.CLASS, None))
            _done.append((_MADE, _await()))
            here.told_everywhere(config.outside)


def uninstall() -> None:
    """Put back what `install` found."""
    here.told_everywhere(None)
    handled.leave()
    tenants.release_all()
    with _lock:
        while _done:
            name, replaced = _done.pop()
            made = replaced.made
            if not replaced.undo():
                _pass_on(made)
                _logger.warning("everylayer leaves %s in place: it was patched again since", name)


def _pass_on(made: Any) -> None:
    """Have a replacement of ours do nothing but call what it stands for.

    By its code, so that no request asks whether it is to do anything.
    """
    if type(made) is not FunctionType or made.__code__.co_freevars != ("original",):
        return
    passing: Any = _passing_async if iscoroutinefunction(made) else _passing
    made.__defaults__ = None
    made.__code__ = passing(None).__code__


def _passing(original: Any) -> Any:
    def passed(*args: Any, **kwargs: Any) -> Any:
        return original(*args, **kwargs)

    return passed


def _passing_async(original: Any) -> Any:
    async def passed(*args: Any, **kwargs: Any) -> Any:
        return await original(*args, **kwargs)

    return passed


def _await() -> Replaced:
    """Let the class that all of Django's views derive from tell when REST framework's is made.

    So no import is hooked, none is made for it, and no request looks for it.
    """
    view: Any = importlib.import_module("django.views.generic.base").View
    found = vars(view).get(_MADE)

    def make(_: Any, switch: Any) -> Any:
        def __init_subclass__(cls: Any, /, **kwargs: Any) -> None:
            before = (
                super(view, cls).__init_subclass__ if found is None else found.__get__(None, cls)
            )
            before(**kwargs)
            if switch.on and (cls.__module__, cls.__qualname__) == (drf.MODULE, drf.CLASS):
                _arrived(cls)

        return classmethod(__init_subclass__)

    replaced = Replaced(view, _MADE, make)
    replaced.put()
    return replaced


@contained
def _arrived(owner: type | None) -> None:
    # No lock: whoever imports it may hold that of a module which `install` waits for.
    replaced = _replace(LATER, owner)
    if replaced is not None:
        _done.append((LATER.name, replaced))


def _apply(patch: Patch) -> Replaced | None:
    module_name, _, class_name = patch.owner.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError:
        return None  # stock is not installed
    return _replace(patch, getattr(module, class_name, None) if class_name else module)


def _replace(patch: Patch, owner: Any) -> Replaced | None:
    original = getattr(owner, patch.name, None)
    if owner is None or original is None or not takes(original, patch.parameters):
        warn_left_alone(
            f"{patch.owner.replace(':', '.').rstrip('.')}.{patch.name}",
            _BROUGHT_BY.get(patch.owner, "Django"),
            patch.why,
            "everylayer-django",
        )
        return None
    replaced = Replaced(owner, patch.name, lambda before, _: patch.make(before))
    replaced.put()
    return replaced
