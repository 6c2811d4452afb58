"""Which layer an exception began in, read from its traceback: no layer needs a wrapper for it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from types import CodeType, FrameType, TracebackType
from typing import Any, NamedTuple

from django.conf import settings
from django.core import signals
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.module_loading import import_string

from everylayer.layers import Layer, name_of
from everylayer.memo import Memo
from everylayer.text import one_line

# Entries that instrumentation adds: they do not count as layers of the app.
OWN, STOCK = "everylayer_django.", "opentelemetry.instrumentation.django."

# Where Django hands control to the app, by module and function.
_EXCEPTION, _BASE = "django.core.handlers.exception", "django.core.handlers.base"
_MARKS = {
    (_EXCEPTION, "inner"): "middleware",
    (_EXCEPTION, "response_for_exception"): "handler",
    (_EXCEPTION, "get_exception_response"): "handler",
    (_EXCEPTION, "handle_uncaught_exception"): "handler",
    (_BASE, "_get_response"): "core",
    (_BASE, "_get_response_async"): "core",
    (_BASE, "resolve_request"): "route",
    (_BASE, "process_exception_by_middleware"): "process_exception",
    ("django.dispatch.dispatcher", "send"): "signal",
    ("django.dispatch.dispatcher", "asend"): "signal",
    ("django.http.response", "close"): "close",
    ("everylayer_django.handlers", "close"): "close",
}
PLUMBING = (
    "asgiref.",
    "asyncio.",
    "concurrent.",
    "contextlib",
    "ddtrace.",
    "django.core.handlers.",
    "django.dispatch.",
    "django.urls.",
    "django.utils.decorators",
    "django.utils.deprecation",
    "everylayer_django.",
    "opentelemetry.",
    "sentry_sdk.",
    "threading",
)
_SIGNALS = {
    signals.request_started: "request_started",
    signals.request_finished: "request_finished",
    signals.got_request_exception: "got_request_exception",
}
_HOOKS = ("process_view", "process_template_response")
_GENERATOR = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
_STEPS = ("process_request", "process_response")

# What a frame is, by its code object: one of `_MARKS`, plumbing, or neither.
_APP, _PIPE = "", "plumbing"
_roles: Memo[str] = Memo(8192)
_views: Memo[Layer] = Memo(4096)
_names: Memo[str] = Memo(1024)
_indexes: Memo[tuple[tuple[str, ...], int | None]] = Memo(1024)


class Place(NamedTuple):
    """A layer and what it was doing."""

    layer: Layer
    phase: str


def locate(tb: TracebackType | None, request: HttpRequest | None = None) -> Place:
    """Return where the exception with traceback `tb` began."""
    mark, first = "", None
    marker: FrameType | None = None
    known = _roles.entries.young
    following = tb
    while following is not None:
        frame = following.tb_frame
        following = following.tb_next
        code = frame.f_code
        entry = known.get(id(code))
        role = entry[1] if entry is not None and entry[0]() is code else _role(frame)
        if role is _APP:
            first = first or frame
        elif role is not _PIPE and (role != "signal" or frame.f_locals.get("self") in _SIGNALS):
            mark, marker, first = role, frame, None
    if marker is None:
        return Place(Layer(_function(first), "app") if first else _framework(tb), "call")
    return _NAMED[mark](marker, first, request)


def _role(frame: FrameType) -> str:
    code = frame.f_code
    role = _roles.get(code)
    if role is None:
        module = frame.f_globals.get("__name__") or ""
        role = _MARKS.get((module, code.co_name))
        if role is None:
            role = _PIPE if module.startswith(PLUMBING) else _APP
        _roles.keep(code, role)
    return role


def view_of(request: HttpRequest | None) -> Layer | None:
    """Return the view that the request was routed to, None before that."""
    view = getattr(getattr(request, "resolver_match", None), "func", None)
    if view is None:
        return None
    known = _views.get(view)
    if known is not None:
        return known
    return _views.keep(view, Layer(_view_name(view), "view"))


def _view_name(view: Any) -> str:
    cls = class_of(view)
    # REST framework's `@api_view` gives its class the function's name, but that alone.
    if getattr(cls, "__qualname__", None) == "WrappedAPIView":
        return one_line(str(cls.__name__), 200)
    return name_of(cls or view)


def class_of(view: Any) -> Any:
    """Return the class that a view was made from, None for another view."""
    # `view_class` is set by Django's `as_view`, `cls` by that of REST framework.
    return getattr(view, "view_class", None) or getattr(view, "cls", None)


def stream_place(tb: TracebackType | None, request: HttpRequest) -> Place:
    """Return who made the part of a streamed body that failed: a middleware, else the view."""
    for frame in reversed(list(frames(tb))):
        if frame.f_code.co_flags & _GENERATOR or frame.f_code.co_name in ("__next__", "__anext__"):
            owner = _self(frame)
            index = _index_of(owner)
            if index is not None:
                return Place(Layer(type(owner).__qualname__, "middleware", index), "stream")
            break
    return Place(view_of(request) or _framework(tb), "stream")


def _middleware(marker: FrameType, first: FrameType | None, _: HttpRequest | None) -> Place:
    target = marker.f_locals.get("get_response")
    name = _names.get(target) or _names.keep(target, name_of(target))
    step = first.f_code.co_name if first is not None else ""
    return Place(Layer(name, "middleware", _index_of(target)), step if step in _STEPS else "call")


def _core(marker: FrameType, first: FrameType | None, request: HttpRequest | None) -> Place:
    if first is not None and first.f_code.co_name in _HOOKS and _self(first) is not None:
        return _hook(marker, first, request)
    rendering = (
        first is not None
        and first.f_code.co_name == "render"
        and isinstance(_self(first), HttpResponseBase)
    )
    return Place(
        view_of(request) or Layer("BaseHandler", "framework"), "render" if rendering else "view"
    )


def _hook(marker: FrameType, first: FrameType | None, _: HttpRequest | None) -> Place:
    phase = "process_exception" if first is None else first.f_code.co_name
    owner = _self(first) if first is not None else None
    if owner is None:
        return Place(Layer(_function(first or marker), "hook"), phase)
    return Place(Layer(type(owner).__qualname__, "hook", _index_of(owner)), phase)


def _handler(marker: FrameType, first: FrameType | None, _: HttpRequest | None) -> Place:
    status = marker.f_locals.get("status_code", 500)
    return Place(Layer(_function(first or marker), "handler"), f"handler{status}")


def _signal(marker: FrameType, first: FrameType | None, _: HttpRequest | None) -> Place:
    return Place(Layer(_function(first or marker), "hook"), _SIGNALS[marker.f_locals["self"]])


def _route(marker: FrameType, first: FrameType | None, _: HttpRequest | None) -> Place:
    return Place(Layer(_function(first or marker), "route"), "resolve")


def _close(marker: FrameType, first: FrameType | None, _: HttpRequest | None) -> Place:
    return Place(Layer(_function(first or marker), "app"), "close")


_NAMED = {
    "middleware": _middleware,
    "core": _core,
    "process_exception": _hook,
    "handler": _handler,
    "signal": _signal,
    "route": _route,
    "close": _close,
}


def frames(tb: TracebackType | None) -> Iterator[FrameType]:
    """Yield the frames that a traceback passes through, outermost first."""
    while tb is not None:
        yield tb.tb_frame
        tb = tb.tb_next


def _framework(tb: TracebackType | None) -> Layer:
    every = list(frames(tb))
    return Layer(_function(every[-1]) if every else "Django", "framework")


def takes_self(code: CodeType) -> bool:
    """Tell whether `code` is that of a method."""
    return code.co_argcount > 0 and code.co_varnames[0] == "self"


def _self(frame: FrameType) -> Any:
    return frame.f_locals.get("self") if takes_self(frame.f_code) else None


def _function(frame: FrameType) -> str:
    owner = _self(frame)
    return function_name(frame.f_code, None if owner is None else type(owner))


def function_name(code: CodeType, owner: type | None) -> str:
    """Return the name of the function that runs `code`, as a method of `owner` if it is one."""
    if owner is not None:
        return one_line(f"{owner.__qualname__}.{code.co_name}", 200)
    # `co_qualname` is 3.11's.
    parts = str(getattr(code, "co_qualname", code.co_name)).split(".<locals>.")
    return one_line(".".join(parts[-2:]), 200)


def _index_of(target: Any) -> int | None:
    """Return the position in MIDDLEWARE, 0 outermost, not counting what instrumentation added."""
    paths = tuple(settings.MIDDLEWARE)
    known = _indexes.get(target)
    if known is None or known[0] != paths:
        known = _indexes.keep(target, (paths, _search(target, paths)))
    return known[1]


def _search(target: Any, paths: tuple[str, ...]) -> int | None:
    for index, entry in enumerate(_layers(paths)):
        if entry is target or entry is type(target) or _made_by(entry, target):
            return index
    return None


def _made_by(factory: Any, target: Any) -> bool:
    made, maker = getattr(target, "__qualname__", None), getattr(factory, "__qualname__", None)
    return (
        bool(made and maker)
        and str(made).startswith(f"{maker}.<locals>.")
        and getattr(target, "__module__", None) == getattr(factory, "__module__", None)
    )


def layers() -> tuple[Any, ...]:
    """Return what MIDDLEWARE names, outermost first, without what instrumentation added."""
    return _layers(tuple(settings.MIDDLEWARE))


@functools.lru_cache(maxsize=16)
def _layers(paths: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(import_string(path) for path in paths if not path.startswith((OWN, STOCK)))
