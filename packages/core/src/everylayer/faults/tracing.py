"""Points in running code by `sys.settrace`: Python 3.10 and 3.11.

A thread is watched if it was started while a point was armed, or has armed one itself; so one
point of no codes, armed early, keeps all threads watched. Only frames of watched codes are
traced, but each call of a function costs one look-up.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Mapping
from types import CodeType, FrameType
from typing import Any

from .point import Visit
from .watched import Unavailable, Watched

_Trace = Callable[[FrameType, str, Any], Any]


class Tracing:
    """A trace function for frames of the watched codes."""

    __slots__ = ("_begin", "_enter", "_open", "_step", "_watched")

    def __init__(self) -> None:
        self._open = False
        self._watched: Mapping[int, Watched] = {}
        # One object each: the interpreter's trace function is compared by identity.
        self._enter: _Trace = self._entered
        self._begin: _Trace = self._begun
        self._step: _Trace = self._stepped

    def open(self, watched: Mapping[int, Watched]) -> None:
        others = (sys.gettrace(), threading.gettrace())
        if any(other not in (None, self._enter) for other in others):
            # Chained, a debugger or a tracer written in C would put itself back in our place.
            raise Unavailable(
                "No fault can be put: a debugger or a coverage tool traces this process. Run "
                "without it, or on Python 3.12 or newer, where both can be."
            )
        self._watched = watched
        self._open = True
        threading.settrace(self._enter)
        sys.settrace(self._enter)

    def follow(self, code: CodeType) -> None:
        """Nothing to do: what waits is looked up at each step."""

    def close(self) -> None:
        self._open = False
        if threading.gettrace() is self._enter:
            threading.settrace(None)
        if sys.gettrace() is self._enter:
            sys.settrace(None)

    def _entered(self, frame: FrameType, event: str, arg: Any) -> _Trace | None:
        if not self._open:
            sys.settrace(None)  # Of a thread that nobody could reach when the last point left.
            return None
        here = self._watched.get(id(frame.f_code))
        if here is None:
            return None
        if here.at_return:
            frame.f_trace_opcodes = True
        elif not _first_step(frame):
            return None
        if here.at_start and _first_step(frame):
            return self._begin
        return self._step

    def _begun(self, frame: FrameType, event: str, arg: Any) -> _Trace:
        if event != "line":
            return self._begin  # A generator has an instruction before its first line.
        # Raised at its first line, not at the call: only there is the frame in the traceback.
        here = self._watched.get(id(frame.f_code))
        if here is not None:
            self._visit(frame, here.at_start)
        return self._step

    def _stepped(self, frame: FrameType, event: str, arg: Any) -> _Trace:
        if event == "opcode":
            here = self._watched.get(id(frame.f_code))
            if here is not None and (frame.f_lasti in here.early or frame.f_lasti in here.late):
                self._visit(frame, here.at_return)
        return self._step

    def _visit(self, frame: FrameType, visits: tuple[Visit, ...]) -> None:
        try:
            for visit in visits:
                visit()
        except BaseException:
            # The interpreter takes away a trace function that raises; the next thing that a
            # profile function sees, when this one has returned, is the time to put it back.
            if sys.getprofile() is None:
                sys.setprofile(functools.partial(self._resume, frame))
            raise

    def _resume(self, raised_in: FrameType, frame: FrameType, event: str, arg: Any) -> None:
        sys.setprofile(None)
        if self._open and sys.gettrace() is None:
            sys.settrace(self._enter)
            raised_in.f_trace = self._step


def _first_step(frame: FrameType) -> bool:
    if sys.version_info < (3, 11):
        return frame.f_lasti < 0
    # The argument of RESUME: 0 at the start of a function, 1 to 3 after a yield or an await.
    return frame.f_code.co_code[frame.f_lasti + 1] == 0
