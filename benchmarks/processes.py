"""What carrying errors costs where there are none: helpers of processes against the plain ones.

    python -m benchmarks.processes [--calls N]

Both sides take turns, call by call; the ratio is that of the medians, and the spread is that of
the tenths of the run, as quartiles.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from opentelemetry import trace

from everylayer import Process, ProcessPoolExecutor, carried, uncarried

from .pairs import Pair, mark, request

# The aim for each helper.
AIM = 1.05
# Of one counted run, where nothing is blurred; callgrind takes some fifty times as long.
_FEW, _MANY = 10, 100


class Row(NamedTuple):
    """One helper: microseconds a call, plain and carried."""

    name: str
    plain: float
    carried: float
    low: float
    high: float

    @property
    def ratio(self) -> float:
        return self.carried / self.plain


def work(n: int) -> int:
    """Do what a small piece of work does: some tenths of a millisecond."""
    return sum(i * i for i in range(5000 + n % 7))


def longer(n: int) -> int:
    """Do what is worth a process: a millisecond or two."""
    return sum(i * i for i in range(25_000 + n % 7))


def empty(n: int) -> int:
    return n


def submitted(pool: Any, func: Callable[[int], int]) -> Callable[[], object]:
    return lambda: pool.submit(func, 3).result()


def mapped(pool: Any) -> Callable[[], object]:
    return lambda: list(pool.map(work, range(100), chunksize=50))


def applied(pool: Any) -> Callable[[], object]:
    return lambda: uncarried(pool.apply(carried(work), (3,)))


def started(cls: Any, func: Callable[[int], int] = empty) -> Callable[[], object]:
    def run() -> None:
        process = cls(target=func, args=(3,))
        process.start()
        process.join()

    return run


def measure(name: str, plain: Callable[[], object], ours: Callable[[], object], calls: int) -> Row:
    """Return the medians of `calls` on each side, which take turns call by call."""
    sides = (plain, ours)
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(calls):
        for at in (0, 1) if turn % 2 else (1, 0):
            began = time.perf_counter()
            sides[at]()
            times[at].append((time.perf_counter() - began) * 1e6)
    tenth = max(calls // 10, 1)
    # Tenths of the run, each with its own medians.
    parts = [
        statistics.median(times[1][at : at + tenth]) / statistics.median(times[0][at : at + tenth])
        for at in range(0, calls - tenth + 1, tenth)
    ]
    low, _, high = statistics.quantiles(parts, n=4)
    return Row(name, statistics.median(times[0]), statistics.median(times[1]), low, high)


def rows(calls: int) -> list[Row]:
    """Measure each helper, within the span of a request."""
    fork = multiprocessing.get_context("fork")
    with (
        concurrent.futures.ProcessPoolExecutor(1, fork) as plain,
        ProcessPoolExecutor(1, fork) as ours,
        fork.Pool(1) as pool,
        request(),
    ):
        assert trace.get_current_span().is_recording()
        for each in (plain, ours):
            each.submit(empty, 1).result()
        return [
            measure("submit, an empty call", *_both(submitted, plain, ours, empty), calls),
            measure("submit, 0.2 ms of work", *_both(submitted, plain, ours, work), calls),
            measure("submit, 1 ms of work", *_both(submitted, plain, ours, longer), calls),
            measure("map, two chunks of 50", mapped(plain), mapped(ours), calls // 10),
            measure(
                "Pool.apply, 0.2 ms of work", lambda: pool.apply(work, (3,)), applied(pool), calls
            ),
            measure(
                "Process, start and join",
                started(multiprocessing.Process),
                started(Process),
                calls // 10,
            ),
        ]


_LENGTHS = (("an empty call", empty, _MANY), ("1 ms of work", longer, _FEW))


def pairs() -> dict[str, Pair]:
    """Return what is counted: forked workers, and processes."""
    plain, ours = concurrent.futures.ProcessPoolExecutor, ProcessPoolExecutor
    found = {}
    for name, func, calls in _LENGTHS:
        found[f"ProcessPoolExecutor.submit, {name}"] = _pair(_submits, plain, ours, func, calls)
    for name, size in (("one by one", 1), ("in chunks of 10", 10)):
        found[f"ProcessPoolExecutor.map, {name}"] = _pair(_maps, plain, ours, size, _MANY)
    for name, func, calls in _LENGTHS:
        # The first thread that a Pool makes looks after its workers.
        pair = _pair(_applies, False, True, func, 5 * calls)
        found[f"Pool.apply(carried(f)), {name}"] = pair._replace(wakes="02")
    for name, func, _ in _LENGTHS:
        pair = _pair(_starts, multiprocessing.Process, Process, func, 1)
        found[f"Process, {name}"] = pair._replace(begins=True)
    return found


def _pair(make: Any, plain: Any, ours: Any, what: Any, calls: int) -> Pair:
    sides = (partial(make, side, what, calls) for side in (plain, ours))
    return Pair(*sides, calls, forks=True)


@contextlib.contextmanager
def _submits(kind: Any, func: Any, calls: int) -> Iterator[Callable[[], object]]:
    with kind(1, multiprocessing.get_context("fork")) as pool:
        yield lambda: [pool.submit(func, 3).result() for _ in range(calls)]


@contextlib.contextmanager
def _maps(kind: Any, size: int, calls: int) -> Iterator[Callable[[], object]]:
    with kind(1, multiprocessing.get_context("fork")) as pool:
        yield lambda: list(pool.map(empty, range(calls), chunksize=size))


@contextlib.contextmanager
def _applies(ours: bool, func: Any, calls: int) -> Iterator[Callable[[], object]]:
    pool = multiprocessing.get_context("fork").Pool(1)
    one = (lambda: uncarried(pool.apply(carried(func), (3,)))) if ours else None
    one = one or (lambda: pool.apply(func, (3,)))
    yield lambda: [one() for _ in range(calls)]
    # Not terminated: callgrind writes when a process ends by itself.
    pool.close()
    pool.join()


@contextlib.contextmanager
def _starts(cls: Any, func: Any, calls: int) -> Iterator[Callable[[], object]]:
    class Marked(cls):  # type: ignore[misc]
        def _bootstrap(self, *args: Any, **kwargs: Any) -> Any:
            mark()
            return super()._bootstrap(*args, **kwargs)

    one = started(Marked, func)
    yield lambda: [one() for _ in range(calls)]


def _both(make: Any, plain: Any, ours: Any, func: Any) -> tuple[Any, Any]:
    return make(plain, func), make(ours, func)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.processes", allow_abbrev=False)
    parser.add_argument("--calls", type=int, default=2000)
    given = parser.parse_args()
    print(f"Python {sys.version.split()[0]}, {given.calls} calls; microseconds a call")
    for row in rows(given.calls):
        print(
            f"{row.name:28} plain {row.plain:9.1f}  everylayer {row.carried:9.1f}  "
            f"ratio {row.ratio:.3f} ({row.low:.3f} to {row.high:.3f})"
            f"{'' if row.ratio <= AIM else '  over the aim'}"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
