"""Where a fault can be put in the code of a middleware, a handler, a signal's receiver."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

from aiohttp import web
from aiohttp.hdrs import METH_ALL

from everylayer.audit.callables import runs
from everylayer.audit.parts import Points
from everylayer.faults.code import CodePoint
from everylayer.faults.point import Visit
from everylayer.faults.watched import Moment
from everylayer.layers import codes_of

Meant = Callable[[Any], bool]
_MAX_FRAMES = 64


def around(layer: Any, codes: tuple[CodeType, ...], meant: Meant) -> Points:
    """Return the points at which `codes` of `layer` start and return.

    Args:
        meant: tells whether it is `layer` that runs for a request: others may have its code.
    """
    if not codes:
        return {}
    return {
        "before": RequestPoint(layer, codes, "start", meant),
        "after": RequestPoint(layer, codes, "return", meant),
    }


class RequestPoint:
    """A point in codes, for the layer and the requests that are meant."""

    __slots__ = ("_codes", "_layer", "_meant", "_point")

    def __init__(
        self, layer: Any, codes: tuple[CodeType, ...], moment: Moment, meant: Meant
    ) -> None:
        self._layer = layer
        self._codes = codes
        self._meant = meant
        self._point = CodePoint(codes, moment)

    def arm(self, visit: Visit) -> None:
        """See `Point.arm`."""

        def visit_if_meant() -> None:  # Run by a callback.
            if self._is_meant(sys._getframe(1)):
                visit()

        self._point.arm(visit_if_meant)

    def disarm(self) -> None:
        """See `Point.disarm`."""
        self._point.disarm()

    def _is_meant(self, frame: FrameType | None) -> bool:  # Run by a callback.
        while frame is not None and not any(frame.f_code is code for code in self._codes):
            frame = frame.f_back
        if frame is None:
            return True
        if self._layer is not None and not runs(self._layer, frame):
            return False
        request = _request_around(frame)
        return request is None or self._meant(request)


def _request_around(frame: FrameType | None) -> Any:  # Run by a callback.
    for _ in range(_MAX_FRAMES):
        if frame is None:
            break
        for name in frame.f_code.co_varnames[: frame.f_code.co_argcount]:
            given = frame.f_locals.get(name)
            if isinstance(given, web.BaseRequest):
                return given
            if isinstance(given, web.View):
                return given.request
        frame = frame.f_back
    return None


def itself(layer: Any) -> Any:
    """Return what tells frames of `layer` from those of another that has its code."""
    return layer if inspect.ismethod(layer) else inspect.unwrap(layer)


def codes_inside(factory: Any) -> tuple[CodeType, ...]:
    """Return what an old-style middleware, a function that makes one, puts around a handler."""
    return tuple(
        const
        for code in codes_of(factory)
        for const in code.co_consts
        if isinstance(const, CodeType)
        and const.co_flags & inspect.CO_COROUTINE
        and const.co_argcount == 1
    )


def codes_of_handler(handler: Any) -> tuple[CodeType, ...]:
    """Return the codes of a function, or of the methods of a class of views."""
    if inspect.isclass(handler):
        return tuple(codes_of(handler, [method.lower() for method in sorted(METH_ALL)]))
    return tuple(codes_of(handler))
