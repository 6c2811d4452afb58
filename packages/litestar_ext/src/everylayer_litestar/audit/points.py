"""Where a fault can be put, for requests to certain routes."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from contextvars import ContextVar
from types import CodeType, FrameType
from typing import Any

from litestar import Litestar

from everylayer.audit.lent import lend
from everylayer.faults.code import CodePoint
from everylayer.faults.point import Point, Visit
from everylayer.faults.watched import Moment

# What runs for a request may run in a thread, and be that of other routes too.
_scope: ContextVar[Any] = ContextVar("everylayer_audit_scope", default=None)
_CALLED = "everylayer.audit.called"
_ENTRY = Litestar.__call__.__code__


class _Entry:
    """Notes the scope of each request at the start of `Litestar.__call__`, for those who ask."""

    def __init__(self) -> None:
        self._point = CodePoint((_ENTRY,), "start")
        self._asking = 0

    def enter(self) -> None:
        if not self._asking:
            self._point.arm(_note)
        self._asking += 1

    def leave(self) -> None:
        self._asking -= 1
        if not self._asking:
            self._point.disarm()


def _note() -> None:  # Run by a callback.
    frame = _frame_of((_ENTRY,), sys._getframe(1))
    if frame is not None:
        _scope.set(frame.f_locals.get("scope"))


_entry = _Entry()


class OfRoutes:
    """A point in codes, for requests to the routes of `owner`.

    Args:
        owner: an app, a router, a controller or a route handler.
        is_meant: tells the frames that are meant from others of the same codes.
        point: what stands around the point in code.
        stands_for: name and module of the app's function that fails there; of the codes' own
            where it is not given.
    """

    __slots__ = ("_armed", "_codes", "_is_meant", "_owner", "_point", "_stands_for")

    def __init__(
        self,
        owner: Any,
        codes: tuple[CodeType, ...],
        moment: Moment,
        is_meant: Callable[[FrameType], bool] | None = None,
        point: Callable[[Point], Point] = lambda point: point,
        stands_for: tuple[str, str] | None = None,
    ) -> None:
        self._owner = owner
        self._codes = codes
        self._is_meant = is_meant
        self._point = point(CodePoint(codes, moment))
        self._stands_for = stands_for
        self._armed = False

    def arm(self, visit: Visit) -> None:
        """See `Point.arm`."""
        if not self._armed:
            _entry.enter()
            self._armed = True

        fail = visit
        if self._stands_for is not None:
            fail = functools.partial(lend(_body, *self._stands_for), visit)

        def visit_if_meant() -> None:  # Run by a callback.
            if self._asked() and self._is_of_layer(sys._getframe(1)):
                fail()

        self._point.arm(visit_if_meant)

    def disarm(self) -> None:
        """See `Point.disarm`."""
        self._point.disarm()
        if self._armed:
            _entry.leave()
            self._armed = False

    def _asked(self) -> bool:  # Run by a callback.
        scope = _scope.get()
        if scope is None:
            return True
        handler = scope.get("route_handler")
        if handler is None:  # There is no such route.
            return scope.get("litestar_app") is self._owner
        return any(each is self._owner for each in handler.ownership_layers)

    def _is_of_layer(self, frame: FrameType | None) -> bool:  # Run by a callback.
        if self._is_meant is None:
            return True
        found = _frame_of(self._codes, frame)
        return found is None or self._is_meant(found)


class OfResponse:
    """A point in what sends the response of a view; a layer may answer in its place.

    Args:
        view: where the view starts.
        sending: where its response is sent.
    """

    __slots__ = ("_sending", "_view")

    def __init__(self, view: Point, sending: Point) -> None:
        self._view = view
        self._sending = sending

    def arm(self, visit: Visit) -> None:
        """See `Point.arm`."""

        def visit_if_called() -> None:  # Run by a callback.
            if (_scope.get() or {}).get(_CALLED):
                visit()

        self._view.arm(_called)
        self._sending.arm(visit_if_called)

    def disarm(self) -> None:
        """See `Point.disarm`."""
        self._sending.disarm()
        self._view.disarm()


def _called() -> None:  # Run by a callback.
    scope = _scope.get()
    if scope is not None:
        scope[_CALLED] = True


def _body(visit: Visit) -> None:
    visit()


def _frame_of(codes: tuple[CodeType, ...], frame: FrameType | None) -> FrameType | None:
    while frame is not None and not any(frame.f_code is code for code in codes):
        frame = frame.f_back
    return frame
