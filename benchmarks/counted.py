"""What a request to a server's app costs, in instructions by callgrind, or in CPU time.

The app and what feeds it are those of one framework: `aiohttp_server`, `litestar_server`. Nothing
leaves the process: no socket and no client is counted. Eight layers do nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, NoReturn

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

ARMS = ("bare", "stock", "both")
PATHS = ("/works", "/fails")
LAYERS = 8
CALLS = 40

# Asks the server for its path so many times.
Ask = Callable[[int], Awaitable[None]]
Act = Callable[[Ask], Coroutine[Any, Any, Any]]
# Lets an act ask the server of one arm for one path.
Serve = Callable[[str, str, Act], Coroutine[Any, Any, Any]]


class Failed(Exception):
    """What the handler raises."""


async def deeper(frames: int) -> NoReturn:
    if frames:
        await deeper(frames - 1)
    raise Failed("no such order")


def exporter() -> InMemorySpanExporter:
    """Return where the spans of this process go from now on."""
    made = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(made))
    trace.set_tracer_provider(provider)
    return made


def run_arm(serve: Serve, arm: str, path: str, out: Path) -> None:
    """Ask once, then three times as often; callgrind, around us, writes both counts."""

    def callgrind(*words: str) -> None:
        subprocess.run(["vgdb", f"--pid={os.getpid()}", *words], check=True, capture_output=True)

    async def act(ask: Ask) -> None:
        for times in (1, 3):
            callgrind("instrumentation", "on")
            callgrind("zero")
            await ask(times * CALLS)
            callgrind("dump", "batch")
            callgrind("instrumentation", "off")

    gc.disable()
    asyncio.run(serve(arm, path, act))
    print(json.dumps([_total(out.with_name(f"{out.name}.{part}")) for part in (1, 2)]))


def time_arm(serve: Serve, arm: str, path: str) -> None:
    """Print the median CPU time of a request, microseconds."""

    async def act(ask: Ask) -> float:
        rounds = []
        for _ in range(15):
            began = time.process_time_ns()
            await ask(100)
            rounds.append((time.process_time_ns() - began) / 100_000)
        return statistics.median(rounds)

    print(json.dumps(asyncio.run(serve(arm, path, act))))


def measured(module: str, timed: bool) -> Iterator[dict[str, Any]]:
    """Yield a row for each path: instructions, or microseconds, of each arm."""
    for path in PATHS:
        row = {arm: _of_arm(module, arm, path, timed) for arm in ARMS}
        ratio = round(row["both"] / row["stock"], 3)
        yield {"path": path, **{arm: round(cost, 1) for arm, cost in row.items()}, "ratio": ratio}


def _of_arm(module: str, arm: str, path: str, timed: bool) -> float:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        command = [sys.executable, "-m", module, "--arm", arm, path, str(out)]
        if timed:
            command.append("--time")
        else:
            valgrind = ["valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no"]
            command = [*valgrind, f"--callgrind-out-file={out}", *command]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found = json.loads(done.stdout)
    return float(found) if timed else (found[1] - found[0]) / (2 * CALLS)


def _total(file: Path) -> int:
    found = re.search(r"^totals: (\d+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise RuntimeError("callgrind wrote no total")
    return int(found[1])


def main(module: str, serve: Serve) -> None:
    """Print the rows, as JSON.

    Args:
        module: runs one arm as `python -m MODULE`.
        serve: serves one.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--time", action="store_true", help="CPU time instead of instructions")
    parser.add_argument("--arm", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm and options.time:
        time_arm(serve, *options.arm[:2])
    elif options.arm:
        run_arm(serve, options.arm[0], options.arm[1], Path(options.arm[2]))
    elif not options.time and shutil.which("vgdb") is None:
        sys.exit("not counted: valgrind not found")
    else:
        for row in measured(module, options.time):
            print(json.dumps(row), flush=True)
