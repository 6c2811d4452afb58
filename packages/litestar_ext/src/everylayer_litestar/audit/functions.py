"""The parts of a chain that are functions: views, guards, dependencies, hooks, handlers."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Iterator
from types import CodeType, FrameType
from typing import Any

from litestar.response.base import ASGIResponse
from litestar.response.file import ASGIFileResponse
from litestar.response.streaming import ASGIStreamingResponse

from everylayer.audit.callables import runs, where
from everylayer.audit.model import Phase
from everylayer.audit.parts import Part, Points, attempted
from everylayer.faults.watched import Moment
from everylayer.layers import codes_of, name_of

from .layers import is_own
from .points import OfResponse, OfRoutes
from .shapes import MODULE as SHAPES

NAMED = "named from the traceback"
_GENERATES = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
_ASYNC = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
_BODIES = tuple(
    code
    for cls in (ASGIResponse, ASGIStreamingResponse, ASGIFileResponse)
    for code in codes_of(cls, ("send_body",))
)
_AFTERWARDS = tuple(codes_of(ASGIResponse, ("after_response",)))


def before_view(owner: Any) -> Iterator[Part]:
    """Yield what `owner` has Litestar call on the way to a view, in that order."""
    provided = (owner.dependencies or {}).values()
    yield from _hooks(owner, owner.guards or ())
    yield from _hooks(owner, [getattr(owner, "before_request", None)])
    yield from _hooks(owner, [getattr(each, "dependency", each) for each in provided])


def after_view(owner: Any) -> Iterator[Part]:
    """Yield what `owner` has Litestar call on the way back, or where something fails."""
    yield from _hooks(owner, [getattr(owner, "after_request", None)])
    yield from _hooks(owner, getattr(owner, "before_send", None) or (), only="stream")
    yield from _hooks(owner, [getattr(owner, "after_response", None)], only="background")
    for key, function in (owner.exception_handlers or {}).items():
        yield from _parts(owner, function, "handler", f"{getattr(key, '__name__', key)}: {NAMED}")
    for function in getattr(owner, "after_exception", None) or ():
        yield from _parts(owner, function, "handler", f"after_exception: {NAMED}")


def view_part(handler: Any, methods: str, paths: str) -> Part:
    """Return the part of a route handler."""
    function = itself(handler.fn)
    part = _part(handler, function, "endpoint", f"{methods} {paths}: {NAMED}")
    if part.points and methods not in ("ASGI", "WEBSOCKET"):
        own = part.name, str(getattr(function, "__module__", ""))
        phases: dict[Phase, tuple[CodeType, ...]] = {"stream": _BODIES, "background": _AFTERWARDS}
        for phase, codes in phases.items():
            view = OfRoutes(handler, tuple(codes_of(function)), "start")
            sending = OfRoutes(handler, codes, "start", stands_for=own)
            part.points[phase] = OfResponse(view, sending)
    return part


def itself(function: Any) -> Any:
    """Return the app's own function in what Litestar keeps of it."""
    # What Litestar runs in a thread, or for each message, it keeps in an object of its own.
    while isinstance(function, functools.partial) or is_own(function):
        held = getattr(function, "func", None) or getattr(function, "_fn", None)
        if held is None:
            break
        function = held
    return function


def _hooks(owner: Any, functions: Iterable[Any], only: Phase | None = None) -> Iterator[Part]:
    for function in functions:
        if function is not None:
            yield from _parts(owner, function, "hook", NAMED, only)


def _parts(
    owner: Any, function: Any, kind: str, seam: str, only: Phase | None = None
) -> Iterator[Part]:
    function = itself(function)
    if not is_own(function) and getattr(function, "__module__", "") != SHAPES:
        make = functools.partial(_part, owner, function, kind, seam, only)
        yield attempted(make, function, kind, seam)


def _part(owner: Any, function: Any, kind: str, seam: str, only: Phase | None = None) -> Part:
    made = function.__init__ if inspect.isclass(function) else function
    codes = tuple(codes_of(made))
    layer = None if inspect.isclass(function) else _unwrapped(made)

    def is_meant(frame: FrameType) -> bool:  # Run by a callback.
        return layer is None or runs(layer, frame)

    last: Phase = "teardown" if _is(codes, _GENERATES) else "after"
    moments: dict[Phase, Moment] = {"before": "start", last: "return"}
    if only is not None:
        moments = {only: "start"}
    points: Points = {}
    if codes:
        points = {at: OfRoutes(owner, codes, when, is_meant) for at, when in moments.items()}
    mode = "async" if _is(codes, _ASYNC) else "sync"
    return Part(name_of(function), kind, where(function), mode, seam, points)


def _unwrapped(function: Any) -> Any:
    return function if inspect.ismethod(function) else inspect.unwrap(function)


def _is(codes: tuple[CodeType, ...], flags: int) -> bool:
    return any(code.co_flags & flags for code in codes)
