"""What each helper for work in other threads and tasks costs, against the plain one.

    python -m benchmarks.boundaries [--rounds N] [--instructions]

Both do the same work in a request that records, in turn, round by round; CPU time of the process is
counted, or, by callgrind, its instructions, which a busy machine cannot blur.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import contextvars
import gc
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind

import everylayer

CALLS = 300
ARMS = ("plain", "ours")


@dataclass(frozen=True)
class Row:
    """One line of the table; nanoseconds, or instructions, for one piece of work.

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
    """Some 20 microseconds, as little as is worth a thread."""
    return sum(range(1_000))


async def work_async() -> int:
    await asyncio.sleep(0)
    return sum(range(1_000))


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


Case = Callable[[], "contextlib.AbstractContextManager[Callable[[], object]]"]


def cases() -> dict[str, tuple[Case, Case]]:
    """Return what is measured: the plain one and the helper by the name of the case."""
    plain, ours = futures.ThreadPoolExecutor, everylayer.ThreadPoolExecutor
    found: dict[str, tuple[Case, Case]] = {
        "ThreadPoolExecutor.submit": (lambda: _pool(plain), lambda: _pool(ours)),
        "ThreadPoolExecutor.map": (lambda: _map(plain), lambda: _map(ours)),
        "Thread(target=propagate(f)) / Thread(target=f)": (
            lambda: _threads(lambda function: function),
            lambda: _threads(everylayer.propagate),
        ),
        "the same / copy_context().run": (
            lambda: _threads(_bound),
            lambda: _threads(everylayer.propagate),
        ),
        "create_task": (
            lambda: _tasks(asyncio.create_task),
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
    }
    if sys.version_info >= (3, 11):
        found["TaskGroup"] = (
            lambda: _groups(asyncio.TaskGroup),
            lambda: _groups(everylayer.TaskGroup),
        )
    return found


@contextlib.contextmanager
def request() -> Iterator[None]:
    """Be within a request that records."""
    tracer = TracerProvider().get_tracer("benchmark")
    with tracer.start_as_current_span("GET /", kind=SpanKind.SERVER):
        yield


def _timed(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return (time.process_time() - start) / CALLS


def measure(rounds: int = 31) -> Iterator[Row]:
    """Yield the rows, in nanoseconds."""
    with request():
        for name, both in cases().items():
            with both[0]() as plain, both[1]() as ours:
                plain(), ours()
                pairs = [(_timed(plain), _timed(ours)) for _ in range(rounds)]
            yield Row(
                name,
                statistics.median(one for one, _ in pairs) * 1e9,
                statistics.median(other for _, other in pairs) * 1e9,
                statistics.median(other / one for one, other in pairs),
            )


def run_arm(case: str, arm: str, out: Path) -> None:
    """Do the work of one case once, then three times; callgrind, around us, writes both counts."""

    def callgrind(*words: str) -> None:
        subprocess.run(["vgdb", f"--pid={os.getpid()}", *words], check=True, capture_output=True)

    gc.disable()
    with request(), cases()[case][ARMS.index(arm)]() as function:
        function()
        for times in (1, 3):
            callgrind("instrumentation", "on")
            callgrind("zero")
            for _ in range(times):
                function()
            callgrind("dump", "batch")
            callgrind("instrumentation", "off")
    print(json.dumps([_total(out.with_name(f"{out.name}.{part}")) for part in (1, 2)]))


def count() -> Iterator[Row]:
    """Yield the rows in instructions: what a run costs by itself falls out of the difference."""
    for name in cases():
        plain, ours = (_instructions(name, arm) for arm in ARMS)
        yield Row(name, plain, ours, ours / plain)


def _instructions(case: str, arm: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        command = ["valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no"]
        command += [f"--callgrind-out-file={out}", sys.executable, "-m", __spec__.name]
        command += ["--arm", case, arm, str(out)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    once, thrice = json.loads(done.stdout)
    return (thrice - once) / (2 * CALLS)


def _total(file: Path) -> int:
    found = re.search(r"^totals: (\d+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise RuntimeError("callgrind wrote no total")
    return int(found[1])


def main() -> None:
    """Print the rows, as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--instructions", action="store_true", help="count them by callgrind")
    parser.add_argument("--arm", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        case, arm, out = options.arm
        run_arm(case, arm, Path(out))
        return
    if options.instructions and shutil.which("vgdb") is None:
        sys.exit("not counted: valgrind not found")
    for row in count() if options.instructions else measure(options.rounds):
        print(json.dumps(asdict(row)), flush=True)


if __name__ == "__main__":
    main()
