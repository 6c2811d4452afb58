"""What each helper for work in other threads and tasks costs, against the plain one.

    python -m benchmarks.boundaries [--rounds N]

Both do the same work in a request that records, in turn, round by round; CPU time of the process is
counted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import contextvars
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any

import everylayer

from .pairs import Pair, Side, request

CALLS = 300


@dataclass(frozen=True)
class Row:
    """One line of the table; nanoseconds for one piece of work.

    Attributes:
        case: helper, and what stands for it without everylayer.
        plain: median of the plain one.
        ours: median of the helper.
        ratio: median of ours / plain over the rounds.
    """

    case: str
    plain: float
    ours: float
    ratio: float


def work() -> int:
    """Some 20 microseconds, as little as is worth a thread.

    With numbers that Python keeps: where it makes them, what that costs depends on how full the
    allocator's pools happen to be, which is nobody's doing and up to a tenth of it all.
    """
    total = 0
    for _ in range(10):
        total += sum(range(250))
    return total


async def work_async() -> int:
    await asyncio.sleep(0)
    return work()


@contextlib.contextmanager
def _pool(kind: Callable[..., futures.ThreadPoolExecutor]) -> Iterator[Callable[[], object]]:
    with kind(2) as pool:
        yield lambda: [pool.submit(work).result() for _ in range(CALLS)]


@contextlib.contextmanager
def _map(kind: Callable[..., futures.ThreadPoolExecutor]) -> Iterator[Callable[[], object]]:
    with kind(2) as pool:
        yield lambda: list(pool.map(lambda _: work(), range(CALLS)))


def _bound(function: Callable[[], int]) -> Callable[[], int]:
    context = contextvars.copy_context()
    return lambda: context.run(function)


@contextlib.contextmanager
def _threads(bind: Callable[[Any], Callable[[], int]]) -> Iterator[Callable[[], object]]:
    def each() -> None:
        for _ in range(CALLS):
            thread = threading.Thread(target=bind(work))
            thread.start()
            thread.join()

    yield each


@contextlib.contextmanager
def _tasks(create: Callable[..., Any]) -> Iterator[Callable[[], object]]:
    with contextlib.closing(asyncio.new_event_loop()) as loop:

        async def each() -> None:
            for _ in range(CALLS):
                await create(work_async())

        yield lambda: loop.run_until_complete(each())


@contextlib.contextmanager
def _groups(kind: Any) -> Iterator[Callable[[], object]]:
    with contextlib.closing(asyncio.new_event_loop()) as loop:

        async def each() -> None:
            for _ in range(CALLS // 4):
                async with kind() as group:
                    for _ in range(4):
                        group.create_task(work_async())

        yield lambda: loop.run_until_complete(each())


@contextlib.contextmanager
def _block(guard: Callable[[], Any]) -> Iterator[Callable[[], object]]:
    def each() -> None:
        for _ in range(CALLS):
            with guard():
                work()

    yield each


@contextlib.contextmanager
def _decorated(decorate: Callable[[Callable[[], int]], Callable[[], int]]) -> Iterator[Any]:
    function = decorate(work)

    def each() -> None:
        for _ in range(CALLS):
            function()

    yield each


@contextlib.contextmanager
def _generated(decorate: Callable[[Any], Any]) -> Iterator[Callable[[], object]]:
    def items() -> Iterator[int]:
        yield work()

    function = decorate(items)

    def each() -> None:
        for _ in range(CALLS):
            list(function())

    yield each


@contextlib.contextmanager
def _block_async(guard: Callable[[], Any]) -> Iterator[Callable[[], object]]:
    with contextlib.closing(asyncio.new_event_loop()) as loop:

        async def each() -> None:
            for _ in range(CALLS):
                async with guard():
                    await work_async()

        yield lambda: loop.run_until_complete(each())


@contextlib.contextmanager
def _decorated_async(decorate: Callable[[Any], Any]) -> Iterator[Callable[[], object]]:
    function = decorate(work_async)
    with contextlib.closing(asyncio.new_event_loop()) as loop:

        async def each() -> None:
            for _ in range(CALLS):
                await function()

        yield lambda: loop.run_until_complete(each())


def threads() -> AbstractContextManager[Callable[[], object]]:
    """Begin threads that know nothing of everylayer."""
    return _threads(lambda function: function)


def submits() -> AbstractContextManager[Callable[[], object]]:
    """Submit to a plain pool."""
    return _pool(futures.ThreadPoolExecutor)


def creates() -> AbstractContextManager[Callable[[], object]]:
    """Begin plain tasks."""
    return _tasks(asyncio.create_task)


def pairs() -> dict[str, Pair]:
    """Return what is measured: the plain one and the helper by the name of the case."""
    return {name: Pair(*both, CALLS) for name, both in _sides().items()}


def _sides() -> dict[str, tuple[Side, Side]]:
    plain, ours = futures.ThreadPoolExecutor, everylayer.ThreadPoolExecutor
    found: dict[str, tuple[Side, Side]] = {
        "ThreadPoolExecutor.submit": (submits, lambda: _pool(ours)),
        "ThreadPoolExecutor.map": (lambda: _map(plain), lambda: _map(ours)),
        "Thread(target=propagate(f)) / Thread(target=f)": (
            threads,
            lambda: _threads(everylayer.propagate),
        ),
        "the same / copy_context().run": (
            lambda: _threads(_bound),
            lambda: _threads(everylayer.propagate),
        ),
        "propagate of a coroutine function / no propagate": (
            lambda: _decorated_async(lambda function: function),
            lambda: _decorated_async(everylayer.propagate),
        ),
        "propagate of a generator function / no propagate": (
            lambda: _generated(lambda function: function),
            lambda: _generated(everylayer.propagate),
        ),
        "create_task": (
            creates,
            lambda: _tasks(everylayer.create_task),
        ),
        "with guard() / nullcontext()": (
            lambda: _block(contextlib.nullcontext),
            lambda: _block(everylayer.guard),
        ),
        "@guard() / no decorator": (
            lambda: _decorated(lambda function: function),
            lambda: _decorated(everylayer.guard()),
        ),
        "async with guard() / nullcontext()": (
            lambda: _block_async(contextlib.nullcontext),
            lambda: _block_async(everylayer.guard),
        ),
        "@guard() of a coroutine function / no decorator": (
            lambda: _decorated_async(lambda function: function),
            lambda: _decorated_async(everylayer.guard()),
        ),
    }
    if sys.version_info >= (3, 11):
        found["TaskGroup"] = (
            lambda: _groups(asyncio.TaskGroup),
            lambda: _groups(everylayer.TaskGroup),
        )
    return found


def _timed(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return (time.process_time() - start) / CALLS


def measure(rounds: int = 31) -> Iterator[Row]:
    """Yield the rows, in nanoseconds."""
    with request():
        for name, pair in pairs().items():
            with pair.plain() as plain, pair.ours() as ours:
                plain(), ours()
                timed = [(_timed(plain), _timed(ours)) for _ in range(rounds)]
            yield Row(
                name,
                statistics.median(one for one, _ in timed) * 1e9,
                statistics.median(other for _, other in timed) * 1e9,
                statistics.median(other / one for one, other in timed),
            )


def main() -> None:
    """Print the rows, as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=31)
    for row in measure(parser.parse_args().rounds):
        print(json.dumps(asdict(row)), flush=True)


if __name__ == "__main__":
    main()
