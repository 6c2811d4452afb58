"""What an RPC that works costs its server: `python -m benchmarks.grpc [--rounds N]`.

Instructions of the server's process alone, counted by callgrind, or with `--time` its CPU time;
bare, with stock, and with everylayer beside stock. The client is in this process, and not counted.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import grpc

from . import instructions

ARMS = ("bare", "stock", "everylayer")
MODES = ("threads", "asyncio")
LAYERS = (0, 4, 8)
KINDS = ("unary", "stream of 1", "stream of 100")
COUNTED = {"unary": 80, "stream of 1": 50, "stream of 100": 3}


class Row(NamedTuple):
    """Medians of one case by arm, and that of everylayer / stock."""

    mode: str
    kind: str
    layers: int
    costs: Sequence[float]
    ratio: float


@contextmanager
def server(
    arm: str, mode: str, layers: int, prefix: Sequence[str] = ()
) -> Iterator[tuple[grpc.Channel, int]]:
    """Give a channel to the server of an arm, and its process id."""
    command = [*prefix, sys.executable, "-m", "benchmarks.grpc_server", arm, mode, str(layers)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        address = f"127.0.0.1:{int(process.stdout.readline())}"
        with grpc.insecure_channel(address) as channel:
            yield channel, process.pid
        process.communicate("")


def send(channel: grpc.Channel, kind: str, times: int) -> None:
    """Send RPCs of a kind, one after the other."""
    echo: Any = channel.unary_unary("/bench.S/Echo")
    talk: Any = channel.stream_stream("/bench.S/Talk")
    for _ in range(times):
        if kind == "unary":
            echo(b"message")
        else:
            converse(talk, 1 if kind == "stream of 1" else 100)


def converse(talk: Any, messages: int) -> None:
    """Send a stream; each message waits for the answer to the one before, and so does the end.

    Else the server would find now one message waiting, now several: no two counts would be alike.
    """
    answered = threading.Semaphore()

    def requests() -> Iterator[bytes]:
        for _ in range(messages):
            answered.acquire()
            yield b"message"
        answered.acquire()

    for _ in talk(requests()):
        answered.release()


def timed(mode: str, kind: str, layers: int, rounds: int) -> Row:
    """Return the CPU times of an RPC in microseconds; the arms take turns in each round."""
    times = 2 * COUNTED[kind]
    found: dict[str, list[float]] = {arm: [] for arm in ARMS}
    with ExitStack() as stack:
        channels = {arm: stack.enter_context(server(arm, mode, layers))[0] for arm in ARMS}
        for number in range(-2, rounds):
            for arm in random.sample(ARMS, len(ARMS)):
                tell: Any = channels[arm].unary_unary("/bench.S/Cpu")
                before = int(tell(b""))
                send(channels[arm], kind, times)
                if number >= 0:  # What comes first warms up.
                    found[arm].append((int(tell(b"")) - before) / times / 1000)
    return _row(mode, kind, layers, found)


def counted(mode: str, layers: int, rounds: int) -> Iterator[Row]:
    """Yield the instructions of an RPC of each kind, in thousands."""
    found = {kind: {arm: [0.0] * rounds for arm in ARMS} for kind in KINDS}
    for arm in ARMS:
        with tempfile.TemporaryDirectory() as folder:
            prefix = instructions.valgrind(Path(folder))
            with server(arm, mode, layers, prefix) as (channel, pid):
                for kind in KINDS:
                    send(channel, kind, COUNTED[kind])  # What comes first warms up.
                meter = instructions.Meter(pid, Path(folder))
                for number, kind in itertools.product(range(rounds), KINDS):
                    times = COUNTED[kind]
                    small = meter.of(partial(send, channel, kind, times))
                    large = meter.of(partial(send, channel, kind, 3 * times))
                    found[kind][arm][number] = (large - small) / (2 * times) / 1000
    for kind, costs in found.items():
        yield _row(mode, kind, layers, costs)


def _row(mode: str, kind: str, layers: int, costs: dict[str, list[float]]) -> Row:
    pairs = zip(costs["everylayer"], costs["stock"], strict=True)
    ratio = statistics.median(ours / stock for ours, stock in pairs)
    return Row(mode, kind, layers, [statistics.median(costs[arm]) for arm in ARMS], ratio)


def rows(options: argparse.Namespace) -> Iterator[Row]:
    for mode, layers in itertools.product(options.mode, options.layers):
        if options.time:
            for kind in KINDS:
                yield timed(mode, kind, layers, options.rounds)
        else:
            yield from counted(mode, layers, options.rounds)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.grpc", description=__doc__)
    parser.add_argument("--time", action="store_true", help="CPU time in the place of instructions")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mode", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--layers", nargs="+", type=int, default=LAYERS)
    options = parser.parse_args()
    lacking = "" if options.time else instructions.missing()
    if lacking:
        sys.exit(lacking)
    unit = "us" if options.time else "thousand instructions"
    print(f"| {unit} | interceptors | {' | '.join(ARMS)} | everylayer / stock |")
    print(f"|---{'|---:' * (len(ARMS) + 2)}|")
    for row in rows(options):
        costs = " | ".join(f"{cost:,.1f}" for cost in row.costs)
        print(f"| {row.mode}, {row.kind} | {row.layers} | {costs} | {row.ratio:.3f} |", flush=True)


if __name__ == "__main__":
    main()
