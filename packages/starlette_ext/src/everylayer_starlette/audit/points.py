"""Where a fault can be put in the code of a layer, an endpoint, a dependency, a handler."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from types import CellType, CodeType, FrameType
from typing import Any, Literal

from everylayer.audit.model import Phase
from everylayer.faults.code import CodePoint
from everylayer.faults.point import Point, Visit

from .describe import Part
from .response import BODY, Door, ResponsePoint, RoutePoint

WEBSOCKET = "WEBSOCKET"
Moment = Literal["start", "return"]


class Points:
    """The points of one chain.

    Attributes:
        found: by id of the node and phase.
    """

    __slots__ = ("found",)

    def __init__(self) -> None:
        self.found: dict[tuple[str, Phase], Point] = {}

    def of_layer(self, node: str, part: Part) -> tuple[Phase, ...]:
        """Add those of a middleware or an app; return their phases."""
        if part.code is None:
            return ()
        mine = runs(part.work)
        phases: tuple[Phase, ...] = ("before",)
        self.found[node, "before"] = FramePoint((part.code,), "start", mine)
        if part.awaits:  # A plain function returns before the app inside has run.
            self.found[node, "after"] = FramePoint((part.code,), "return", mine)
            phases = ("before", "after")
        if part.sends:
            self.found[node, "stream"] = FramePoint(part.sends, "start", sends_body(part, mine))
            phases = (*phases, "stream")
        return phases

    def of_call(self, node: str, part: Part, door: Door | None = None) -> tuple[Phase, ...]:
        """Add those of an endpoint, a dependency or a handler; return their phases.

        Args:
            door: of the route that it belongs to, None for a handler.
        """
        if part.code is None:
            return ()
        last: Phase = "teardown" if part.generates else "after"
        moments: dict[Phase, Moment] = {"before": "start", last: "return"}
        for phase, moment in moments.items():
            self.found[node, phase] = _of_route((part.code,), moment, runs(part.work), door)
        return tuple(moments)

    def of_endpoint(
        self, node: str, part: Part, door: Door | None, method: str | None
    ) -> tuple[Phase, ...]:
        """Add those of an endpoint and, for HTTP, of its response; return their phases.

        Args:
            method: see `ResponsePoint`; `WEBSOCKET` where there is no response.
        """
        if part.code is None:
            return ()
        if part.generates:
            self.found[node, "stream"] = _of_route((part.code,), "start", runs(part.work), door)
            return ("stream",)
        phases = self.of_call(node, part, door)
        if door is None or method == WEBSOCKET:
            return phases
        self.found[node, "stream"] = ResponsePoint(door, "stream", part, method)
        self.found[node, "background"] = ResponsePoint(door, "background", part, method)
        return (*phases, "stream", "background")


def _of_route(
    codes: tuple[CodeType, ...],
    moment: Moment,
    meant: Callable[[FrameType], bool],
    door: Door | None,
) -> Point:
    if door is None:
        return FramePoint(codes, moment, meant)
    route = door.runs
    point = FramePoint(codes, moment, lambda frame: route(frame) and meant(frame))
    return RoutePoint(door, point)


class FramePoint:
    """A point in code, for those of its frames that are meant.

    Args:
        meant: of layers that share code, only one is.
    """

    __slots__ = ("_codes", "_meant", "_point")

    def __init__(
        self,
        codes: tuple[CodeType, ...],
        moment: Moment,
        meant: Callable[[FrameType], bool],
    ) -> None:
        self._codes = codes
        self._meant = meant
        self._point = CodePoint(codes, moment)

    def arm(self, visit: Visit) -> None:
        def visit_if_meant() -> None:  # Run by a callback.
            frame = self._frame()
            if frame is not None and self._meant(frame):
                visit()

        self._point.arm(visit_if_meant)

    def disarm(self) -> None:
        self._point.disarm()

    def _frame(self) -> FrameType | None:  # Run by a callback.
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and not any(frame.f_code is code for code in self._codes):
            frame = frame.f_back
        return frame


def runs(layer: Any) -> Callable[[FrameType], bool]:
    """Return what tells a frame of `layer` from one of another that has the same code.

    Args:
        layer: None for something that is made anew for each request.
    """
    if layer is None:
        return lambda frame: True
    while isinstance(layer, functools.partial):
        layer = layer.func
    if inspect.ismethod(layer):
        layer = layer.__self__
    if not inspect.isfunction(layer) or not layer.__closure__:
        return lambda frame: frame.f_locals.get("self", layer) is layer
    held = list(zip(layer.__code__.co_freevars, layer.__closure__, strict=True))
    return lambda frame: all(_same(frame.f_locals, name, cell) for name, cell in held)


def _same(names: Mapping[str, Any], name: str, cell: CellType) -> bool:  # Run by a callback.
    try:
        return name not in names or names[name] is cell.cell_contents
    except ValueError:
        return True  # Nothing has been put in the cell yet.


def sends_body(part: Part, mine: Callable[[FrameType], bool]) -> Callable[[FrameType], bool]:
    """Return what tells a frame of a layer that a part of the body passes, or that makes them.

    Args:
        mine: what tells frames of the layer's main code.
    """

    def passes(frame: FrameType) -> bool:  # Run by a callback.
        code, names = frame.f_code, frame.f_locals
        if names.get("self", part.work) is not part.work or not _within_own(frame, part, mine):
            return False
        if code.co_flags & inspect.CO_ASYNC_GENERATOR:
            return True
        given = [names.get(name) for name in code.co_varnames[: code.co_argcount]]
        return any(isinstance(each, Mapping) and each.get("type") == BODY for each in given)

    return passes


def _within_own(
    frame: FrameType, part: Part, mine: Callable[[FrameType], bool]
) -> bool:  # Run by a callback.
    """Tell whether what `frame` runs was made by the layer that is meant.

    A closure has its variables in common with the call that made it, which waits further out; in a
    task of its own there is none to compare with.
    """
    free = frame.f_code.co_freevars
    makers = []
    outer = frame.f_back
    while outer is not None and free:
        if outer.f_code is part.code:
            makers.append(outer)
        outer = outer.f_back
    if not makers:
        return True
    held = frame.f_locals
    return any(
        mine(maker)
        and all(held.get(name) is maker.f_locals.get(name) for name in free if name in held)
        for maker in makers
    )
