"""The asyncio tasks of all loops of the process, seen from any thread."""

from __future__ import annotations

import contextvars
import sys
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

from .spans import module_of, outwards

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Task

# Where asyncio keeps its tasks, whatever their loop: 3.14 has a list of each loop's instead.
_REGISTERS = ("_all_tasks", "_scheduled_tasks", "_eager_tasks")
_TRIES = 16


def all_loops(threads: Iterable[FrameType]) -> dict[int, tuple[AbstractEventLoop, int]]:
    """Return the loops that `threads` run: id of the loop -> loop, index of the thread."""
    found: dict[int, tuple[AbstractEventLoop, int]] = {}
    for index, frame in enumerate(threads):
        for loop in _loops_of(frame):
            found.setdefault(id(loop), (loop, index))
    return found


def all_tasks(loops: Iterable[AbstractEventLoop]) -> list[Task[Any]]:
    """Return the tasks that are not done, of `loops` and of any other that asyncio knows of."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return []
    found: dict[int, Task[Any]] = {}
    for name in _REGISTERS:
        for task in _copied(getattr(asyncio.tasks, name, ())):
            found[id(task)] = task
    for loop in loops:
        for task in asyncio.all_tasks(loop):
            found[id(task)] = task
    return [task for task in found.values() if not task.done()]


def running_task(loop: AbstractEventLoop) -> Task[Any] | None:
    """Return the task that `loop` runs at this moment."""
    task: Task[Any] | None = sys.modules["asyncio"].current_task(loop)
    return task


def context_of(task: Task[Any]) -> contextvars.Context | None:
    """Return the context in which `task` runs, None where it cannot be told."""
    if sys.version_info >= (3, 12):
        return task.get_context()
    # What it waits for knows whom to wake up, and in which context.
    for callback, context in getattr(getattr(task, "_fut_waiter", None), "_callbacks", None) or ():
        if getattr(callback, "__self__", None) is task:
            return context if isinstance(context, contextvars.Context) else None
    return None


def _loops_of(frame: FrameType) -> Iterator[AbstractEventLoop]:
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return
    for each in outwards(frame):
        if module_of(each) in ("asyncio.base_events", "asyncio.runners", "uvloop"):
            held = each.f_locals
            runner = held.get("self")
            for value in (runner, held.get("loop"), getattr(runner, "_loop", None)):
                if isinstance(value, asyncio.AbstractEventLoop):
                    yield value


def _copied(register: Iterable[Any]) -> list[Any]:
    for _ in range(_TRIES):
        try:
            return list(register)
        except RuntimeError:  # Another thread has made a task meanwhile.
            continue
    return []
