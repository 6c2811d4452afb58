"""Points in running code by `sys.monitoring`: Python 3.12 and newer."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import CodeType

from ..tool_ids import claim
from .watched import Unavailable, Watched

_NAME = "everylayer.faults"


class Monitoring:
    """Local events of the watched codes, and of no others.

    What a callback raises is raised in the frame that the event is of; the interpreter gives
    no events to what a callback runs, so that a visit is never visited itself.
    """

    __slots__ = ("_tool", "_watched")

    def __init__(self) -> None:
        self._tool: int | None = None
        self._watched: Mapping[int, Watched] = {}

    def open(self, watched: Mapping[int, Watched]) -> None:
        if self._tool is not None:
            return
        self._tool = claim(_NAME)
        if self._tool is None:
            raise Unavailable(
                "No fault can be put: other tools use all of sys.monitoring's ids. Run without "
                "the debugger, profiler or coverage tool that is active."
            )
        self._watched = watched
        events = sys.monitoring.events
        for event, callback in (
            (events.PY_START, self._starts),
            (events.INSTRUCTION, self._runs),
            (events.PY_RETURN, self._returns),
        ):
            sys.monitoring.register_callback(self._tool, event, callback)

    def follow(self, code: CodeType) -> None:
        assert self._tool is not None
        events, wanted = sys.monitoring.events, 0
        here = self._watched.get(id(code))
        if here is not None:
            wanted |= events.PY_START if here.at_start else 0
            wanted |= events.INSTRUCTION if here.early else 0
            wanted |= events.PY_RETURN if here.late else 0
        sys.monitoring.set_local_events(self._tool, code, wanted)

    def close(self) -> None:
        tool, self._tool = self._tool, None
        if tool is None:
            return
        events = sys.monitoring.events
        for event in (events.PY_START, events.INSTRUCTION, events.PY_RETURN):
            sys.monitoring.register_callback(tool, event, None)
        sys.monitoring.free_tool_id(tool)

    # A generator and a coroutine start at their first step: a further one is PY_RESUME.
    def _starts(self, code: CodeType, offset: int) -> None:  # Run by a callback.
        here = self._watched.get(id(code))
        if here is not None:
            for visit in here.at_start:
                visit()

    def _runs(self, code: CodeType, offset: int) -> object:  # Run by a callback.
        here = self._watched.get(id(code))
        if here is None:
            return None
        if offset not in here.early:
            return sys.monitoring.DISABLE
        for visit in here.at_return:
            visit()
        return None

    def _returns(self, code: CodeType, offset: int, value: object) -> None:  # Run by a callback.
        here = self._watched.get(id(code))
        if here is not None and offset in here.late:
            for visit in here.at_return:
                visit()
