"""Asyncio tasks whose failure is on the trace of the request that has started them."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Coroutine, Generator
from contextvars import Context
from types import CoroutineType
from typing import Any, TypeVar

from opentelemetry import trace

from ..chain import drop_frame
from . import work

T = TypeVar("T")

_PHASE = "task"


class _Start:
    """Yields once, at the cost of no Python code."""

    __slots__ = ()
    __await__ = staticmethod(functools.partial(iter, (None,)))


_START: Any = _Start()


async def _watched(coro: Coroutine[Any, Any, T]) -> T:
    try:
        await _START
    except GeneratorExit:
        raise  # nobody has ever run the task, and Python says so of `coro`
    except BaseException:
        coro.close()
        raise
    try:
        return await coro
    except BaseException as exc:
        work.failed(exc, trace.get_current_span(), work.called(coro), _PHASE)
        drop_frame(exc)
        raise


def watched(coro: Any) -> Any:
    """Return a coroutine that does what `coro` does, and shows its request what it raises."""
    if type(coro) is not CoroutineType and not asyncio.iscoroutine(coro):
        return coro  # asyncio says what is wrong with it
    found: Any = _watched(coro)
    # A task may be cancelled before its first step. Python says of a coroutine that ends unstarted
    # that nobody has awaited it, unless that step itself throws: ours has to be there for it.
    found.send(None)
    found.__qualname__ = getattr(coro, "__qualname__", found.__qualname__)
    return found


def create_task(
    coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
    *,
    name: str | None = None,
    context: Context | None = None,
    eager_start: bool | None = None,
) -> asyncio.Task[T]:
    """Start a task as `asyncio.create_task` does, which takes what this Python's takes.

    What it raises is on the trace of the request, once, whether or not anybody awaits it.
    """
    if context is None and eager_start is None:
        return asyncio.create_task(watched(coro), name=name)
    given: dict[str, Any] = {"context": context, "eager_start": eager_start}
    given = {key: value for key, value in given.items() if value is not None}
    return asyncio.create_task(watched(coro), name=name, **given)


if sys.version_info < (3, 11):

    class TaskGroup:
        """Stands for `asyncio.TaskGroup`, which Python has from 3.11 on."""

        def __init__(self) -> None:
            raise RuntimeError(
                "everylayer.TaskGroup needs Python 3.11 or newer, which has asyncio.TaskGroup; "
                "on 3.10 use anyio.create_task_group() within everylayer.guard()"
            )

else:

    class TaskGroup(asyncio.TaskGroup):
        """`asyncio.TaskGroup`, whose errors are on the trace of the request: one for the group."""

        async def __aexit__(self, *exc_info: Any) -> None:
            """Wait for the tasks; show the request what leaves the group."""
            try:
                await super().__aexit__(*exc_info)
            except BaseException as exc:
                caller = sys._getframe(1)
                work.failed(exc, trace.get_current_span(), work.in_frame(caller), "group")
                drop_frame(exc)
                raise
