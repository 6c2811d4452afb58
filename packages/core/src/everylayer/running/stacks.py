"""Where a thread or a coroutine stands, as places that hold no frame and no value."""

from __future__ import annotations

import gc
import linecache
from collections import deque
from collections.abc import Iterable
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType
from typing import Any, NamedTuple

# Both ends of a stack tell most: who asked, and what it waits for.
_OUTER = 16
_INNER = 48
# Coroutines that await each other; more is a recursion.
_MAX_CHAIN = 1_000
_SUSPENDED = {
    CoroutineType: ("cr_frame", "cr_await"),
    GeneratorType: ("gi_frame", "gi_yieldfrom"),
    AsyncGeneratorType: ("ag_frame", "ag_await"),
}


class Place(NamedTuple):
    """A line that is being run."""

    file: str
    line: int
    function: str


class Stack(NamedTuple):
    """Places from the outermost to the innermost, some in the middle left out."""

    outer: tuple[Place, ...]
    inner: tuple[Place, ...]
    left_out: int

    def lines(self) -> list[str]:
        """Return the stack as a traceback shows it, a line each."""
        shown = [line for place in self.outer for line in _shown(place)]
        if self.left_out:
            shown.append(f"  [... {self.left_out} frames left out ...]")
        return shown + [line for place in self.inner for line in _shown(place)]


def stack_of(frames: Iterable[FrameType]) -> Stack:
    """Return the places of `frames`, given from the innermost outwards."""
    inner: list[Place] = []
    outer: deque[Place] = deque(maxlen=_OUTER)
    total = 0
    for frame in frames:
        total += 1
        if len(inner) < _INNER:
            inner.append(_place(frame))
        else:
            outer.append(_place(frame))
    left_out = total - len(inner) - len(outer)
    return Stack(tuple(reversed(outer)), tuple(reversed(inner)), left_out)


def coroutine_frames(coroutine: Any) -> tuple[list[FrameType], Any]:
    """Return the frames of a suspended coroutine, innermost first, and what that waits for.

    Of one that is running nothing is known but its outermost frame.
    """
    frames: list[FrameType] = []
    for _ in range(_MAX_CHAIN):
        found = _step(coroutine)
        if found is None:
            break
        frame, awaited = found
        if frame is not None:
            frames.append(frame)
        coroutine = awaited
    frames.reverse()
    return frames, coroutine


def _step(coroutine: Any) -> tuple[FrameType | None, Any] | None:
    cls = type(coroutine)
    if cls in _SUSPENDED:
        frame, awaited = _SUSPENDED[cls]
        return getattr(coroutine, frame), getattr(coroutine, awaited)
    # `__await__` of a coroutine, `asend` of a generator: they say nothing of what they stand for.
    if cls.__module__ == "builtins":
        for inside in gc.get_referents(coroutine):
            if type(inside) in _SUSPENDED:
                return None, inside
    return None


def _place(frame: FrameType) -> Place:
    code = frame.f_code
    # Reads nothing yet, but lets a source be found that is in no file.
    linecache.lazycache(code.co_filename, frame.f_globals)
    return Place(code.co_filename, frame.f_lineno or 0, code.co_name)


def _shown(place: Place) -> list[str]:
    shown = [f'  File "{place.file}", line {place.line}, in {place.function}']
    source = linecache.getline(place.file, place.line).strip()
    return [*shown, f"    {source}"] if source else shown
