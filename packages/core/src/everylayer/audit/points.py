"""Points in code that several layers share, or that runs more often than a fault may come."""

from __future__ import annotations

import sys
from types import CodeType, FrameType
from typing import Any

from ..faults.point import Point, Visit
from .callables import runs


class OfOne:
    """A point in `codes`, for one of the layers that run them: a class may stand there twice."""

    def __init__(self, point: Point, codes: tuple[CodeType, ...], layer: Any) -> None:
        self._point = point
        self._codes = codes
        self._layer = layer

    def arm(self, visit: Visit) -> None:
        def visited() -> None:  # Run by a callback.
            if self._is_mine(sys._getframe(1)):
                visit()

        self._point.arm(visited)

    def disarm(self) -> None:
        self._point.disarm()

    def _is_mine(self, frame: FrameType | None) -> bool:  # Run by a callback.
        while frame is not None:
            if any(frame.f_code is code for code in self._codes):
                return self._runs(frame)
            frame = frame.f_back
        return True

    def _runs(self, frame: FrameType) -> bool:  # Run by a callback.
        return runs(self._layer, frame)


class Later:
    """A point that is reached from its second time on: a response's first message is its start."""

    def __init__(self, point: Point) -> None:
        self._point = point

    def arm(self, visit: Visit) -> None:
        times = 0

        def visited() -> None:  # Run by a callback.
            nonlocal times
            times += 1
            if times > 1:
                visit()

        self._point.arm(visited)

    def disarm(self) -> None:
        self._point.disarm()
