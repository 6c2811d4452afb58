"""What a view does with work of its own, and what should be on its trace then."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent import futures
from typing import Any, NamedTuple

import everylayer

pool = everylayer.ThreadPoolExecutor(4)
inner_pool = everylayer.ThreadPoolExecutor(4)
# What an act leaves behind, to be done once the response is out; and threads to wait for.
responded = threading.Event()
threads: list[threading.Thread] = []


class Lost(Exception):
    pass


class Expected(NamedTuple):
    """One event: `late` is on a child span, which begins once the server span has ended."""

    type: str
    layer: str
    phase: str
    handled: bool
    late: bool = False


class Act(NamedTuple):
    """A view's work.

    Attributes:
        do: run by the view.
        status: of the response.
        events: all that the trace should show.
    """

    do: Callable[[], Any]
    status: int
    events: list[Expected]


def lose() -> None:
    raise Lost("work")


def lose_later() -> None:
    assert responded.wait(10)
    raise Lost("after the response")


async def lose_soon() -> None:
    await asyncio.sleep(0)
    raise Lost("task")


def asked_and_handled() -> None:
    with contextlib.suppress(Lost):
        pool.submit(lose).result()


def never_asked() -> None:
    futures.wait([pool.submit(lose)])


def leaves() -> None:
    pool.submit(lose).result()


def raised_in_two_places() -> None:
    future = pool.submit(lose)
    exc = future.exception()
    assert exc is not None
    with contextlib.suppress(Lost):
        future.result()
    raise exc


def mapped() -> None:
    with contextlib.suppress(Lost):
        list(pool.map(lambda _: lose(), range(1)))


def pool_in_pool() -> None:
    with contextlib.suppress(Lost):
        pool.submit(lambda: inner_pool.submit(lose).result()).result()


def task_in_thread_in_task() -> None:
    async def task() -> None:
        await everylayer.create_task(lose_soon())

    def thread() -> None:
        asyncio.run(task())

    with contextlib.suppress(Lost):
        pool.submit(thread).result()


def _start(daemon: bool = False) -> None:
    thread = threading.Thread(target=everylayer.propagate(lose_later), daemon=daemon)
    threads.append(thread)
    thread.start()


def thread_after_the_response() -> None:
    _start()


def daemon_after_the_response() -> None:
    _start(daemon=True)


def future_after_the_response() -> None:
    future = pool.submit(lose_later)
    thread = threading.Thread(target=lambda: futures.wait([future]))
    threads.append(thread)
    thread.start()


def guarded() -> None:
    with contextlib.suppress(Lost), everylayer.guard(layer="billing"):
        lose()


def guarded_twice() -> None:
    @everylayer.guard(layer="inner")
    def inner() -> None:
        lose()

    @everylayer.guard(layer="outer")
    def outer() -> None:
        inner()

    with contextlib.suppress(Lost):
        outer()


def cancelled_future() -> None:
    blocked = threading.Event()
    with everylayer.ThreadPoolExecutor(1) as single:
        single.submit(blocked.wait, 10)
        waiting = single.submit(lose)
        assert waiting.cancel()
        blocked.set()


_HANDLED = Expected("Lost", "lose", "thread", True)
_LATE = Expected("Lost", "lose_later", "propagated", False, late=True)

ACTS: dict[str, Act] = {
    "asked_and_handled": Act(asked_and_handled, 200, [_HANDLED]),
    "never_asked": Act(never_asked, 200, [_HANDLED]),
    "leaves": Act(leaves, 500, [_HANDLED._replace(handled=False)]),
    "raised_in_two_places": Act(raised_in_two_places, 500, [_HANDLED._replace(handled=False)]),
    "mapped": Act(mapped, 200, [_HANDLED._replace(layer="mapped.<lambda>")]),
    "pool_in_pool": Act(pool_in_pool, 200, [_HANDLED]),
    "task_in_thread_in_task": Act(
        task_in_thread_in_task, 200, [Expected("Lost", "lose_soon", "task", True)]
    ),
    "thread_after_the_response": Act(thread_after_the_response, 200, [_LATE]),
    "daemon_after_the_response": Act(daemon_after_the_response, 200, [_LATE]),
    "future_after_the_response": Act(
        future_after_the_response, 200, [_LATE._replace(phase="thread")]
    ),
    "guarded": Act(guarded, 200, [Expected("Lost", "billing", "guarded", True)]),
    "guarded_twice": Act(guarded_twice, 200, [Expected("Lost", "inner", "guarded", True)]),
    "cancelled_future": Act(cancelled_future, 200, []),
}


async def task_handled() -> None:
    with contextlib.suppress(Lost):
        await everylayer.create_task(lose_soon())


async def task_leaves() -> None:
    await everylayer.create_task(lose_soon())


async def task_never_awaited() -> None:
    task = everylayer.create_task(lose_soon())
    await asyncio.wait([task])


async def task_cancelled() -> None:
    for steps in (0, 1):
        task = everylayer.create_task(asyncio.sleep(10))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def gathered() -> None:
    with contextlib.suppress(Lost):
        await asyncio.gather(everylayer.create_task(lose_soon()), asyncio.sleep(0))


async def in_executor() -> None:
    with contextlib.suppress(Lost):
        await asyncio.get_running_loop().run_in_executor(pool, lose)


async def guarded_async() -> None:
    with contextlib.suppress(Lost):
        async with everylayer.guard():
            await lose_soon()


async def group_leaves() -> None:
    async with everylayer.TaskGroup() as group:
        group.create_task(lose_soon())


async def group_handled() -> None:
    try:
        async with everylayer.TaskGroup() as group:
            group.create_task(lose_soon())
            group.create_task(lose_soon())
    except BaseExceptionGroup:
        return


async def groups_across_tasks() -> None:
    async def inner() -> None:
        async with everylayer.TaskGroup() as group:
            group.create_task(lose_soon())

    try:
        await everylayer.create_task(inner())
    except BaseExceptionGroup:
        return


async def group_of_guarded() -> None:
    @everylayer.guard()
    async def member() -> None:
        await lose_soon()

    try:
        async with everylayer.TaskGroup() as group:
            group.create_task(member())
            group.create_task(everylayer.propagate(lose_soon)())
    except BaseExceptionGroup:
        return


_TASK = Expected("Lost", "lose_soon", "task", True)
_GROUP = Expected("ExceptionGroup", "group_handled", "group", True)

ASYNC_ACTS: dict[str, Act] = {
    "task_handled": Act(task_handled, 200, [_TASK]),
    "task_leaves": Act(task_leaves, 500, [_TASK._replace(handled=False)]),
    "task_never_awaited": Act(task_never_awaited, 200, [_TASK]),
    "task_cancelled": Act(task_cancelled, 200, []),
    "gathered": Act(gathered, 200, [_TASK]),
    "in_executor": Act(in_executor, 200, [_HANDLED]),
    "guarded_async": Act(guarded_async, 200, [Expected("Lost", "guarded_async", "guarded", True)]),
}
GROUP_ACTS: dict[str, Act] = {
    "group_leaves": Act(group_leaves, 500, [_GROUP._replace(layer="group_leaves", handled=False)]),
    "group_handled": Act(group_handled, 200, [_GROUP]),
    "group_of_guarded": Act(group_of_guarded, 200, [_GROUP._replace(layer="group_of_guarded")]),
    "groups_across_tasks": Act(
        groups_across_tasks, 200, [_GROUP._replace(layer="groups_across_tasks.inner")]
    ),
}
