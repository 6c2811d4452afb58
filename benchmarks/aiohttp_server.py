"""What a request to aiohttp's server costs, in instructions by callgrind, or in CPU time.

`python -m benchmarks.aiohttp_server` needs valgrind; `--time` does without. The server is aiohttp's
own, fed in memory: no socket and no client is counted. Eight layers do nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from aiohttp import web
from opentelemetry import trace
from opentelemetry.instrumentation.aiohttp_server import AioHttpServerInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import everylayer_aiohttp

ARMS = ("bare", "stock", "both")
PATHS = ("/works", "/fails")
LAYERS = 8
CALLS = 40


class Failed(Exception):
    """What the handler raises."""


@web.middleware
async def nothing(request: web.Request, handler: Any) -> web.StreamResponse:
    answer: web.StreamResponse = await handler(request)
    return answer


async def works(request: web.Request) -> web.StreamResponse:
    return web.Response(text="fine")


async def fails(request: web.Request) -> web.StreamResponse:
    return await deeper(20)


async def deeper(frames: int) -> web.StreamResponse:
    if frames:
        return await deeper(frames - 1)
    raise Failed("no such order")


class Wire(asyncio.Transport):
    """Takes what the server writes."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = False
        self.written = asyncio.get_running_loop().create_future()

    def write(self, data: Any) -> None:
        if not self.written.done():
            self.written.set_result(bytes(data[:12]))

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


async def serve(arm: str, path: str, act: Callable[[Callable[[int], Awaitable[None]]], Any]) -> Any:
    """Let `act` ask the server of one arm: it is given what asks for `path` so many times."""
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    if arm != "bare":
        AioHttpServerInstrumentor().instrument()
    app = web.Application(middlewares=[nothing] * LAYERS)
    app.router.add_get("/works", works)
    app.router.add_get("/fails", fails)
    if arm == "both":
        everylayer_aiohttp.setup(app)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    assert runner.server is not None
    request = f"GET {path} HTTP/1.1\r\nHost: shop.example\r\n\r\n".encode()

    async def ask(times: int) -> None:
        for _ in range(times):
            wire = Wire()
            protocol: Any = runner.server()  # type: ignore[misc]
            protocol.connection_made(wire)
            protocol.data_received(request)
            answer = await wire.written
            assert answer == (b"HTTP/1.1 200" if path == "/works" else b"HTTP/1.1 500")
            protocol.connection_lost(None)
            exporter.clear()

    await ask(3)
    return await act(ask)


def run_arm(arm: str, path: str, out: Path) -> None:
    """Ask once, then three times as often; callgrind, around us, writes both counts."""

    def callgrind(*words: str) -> None:
        subprocess.run(["vgdb", f"--pid={os.getpid()}", *words], check=True, capture_output=True)

    async def act(ask: Callable[[int], Awaitable[None]]) -> None:
        for times in (1, 3):
            callgrind("instrumentation", "on")
            callgrind("zero")
            await ask(times * CALLS)
            callgrind("dump", "batch")
            callgrind("instrumentation", "off")

    gc.disable()
    asyncio.run(serve(arm, path, act))
    print(json.dumps([_total(out.with_name(f"{out.name}.{part}")) for part in (1, 2)]))


def time_arm(arm: str, path: str) -> None:
    """Print the median CPU time of a request, microseconds."""

    async def act(ask: Callable[[int], Awaitable[None]]) -> float:
        rounds = []
        for _ in range(15):
            began = time.process_time_ns()
            await ask(100)
            rounds.append((time.process_time_ns() - began) / 100_000)
        return statistics.median(rounds)

    print(json.dumps(asyncio.run(serve(arm, path, act))))


def measured(timed: bool) -> Iterator[dict[str, Any]]:
    """Yield a row for each path: instructions, or microseconds, of each arm."""
    for path in PATHS:
        row = {arm: _of_arm(arm, path, timed) for arm in ARMS}
        ratio = round(row["both"] / row["stock"], 3)
        yield {"path": path, **{arm: round(cost, 1) for arm, cost in row.items()}, "ratio": ratio}


def _of_arm(arm: str, path: str, timed: bool) -> float:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        command = [sys.executable, "-m", "benchmarks.aiohttp_server", "--arm", arm, path, str(out)]
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


def main() -> None:
    """Print the rows, as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--time", action="store_true", help="CPU time instead of instructions")
    parser.add_argument("--arm", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm and options.time:
        time_arm(*options.arm[:2])
    elif options.arm:
        run_arm(options.arm[0], options.arm[1], Path(options.arm[2]))
    elif not options.time and shutil.which("vgdb") is None:
        sys.exit("not counted: valgrind not found")
    else:
        for row in measured(options.time):
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
