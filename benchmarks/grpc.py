"""What an RPC that works costs its server: `python -m benchmarks.grpc [--rounds N]`.

CPU time of the server's process alone, bare, with stock, and with everylayer beside it: the three
take turns in each round, so that what else the machine does falls on all of them.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import grpc

ARMS = ("bare", "stock", "everylayer")
MESSAGES = [b"message"] * 10


@contextmanager
def server(arm: str, mode: str) -> Iterator[grpc.Channel]:
    """Give a channel to the server of an arm."""
    command = [sys.executable, "-m", "benchmarks.grpc_server", arm, mode]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        address = f"127.0.0.1:{int(process.stdout.readline())}"
        with grpc.insecure_channel(address) as channel:
            yield channel
        process.communicate("")


def cpu_of(channel: grpc.Channel, kind: str, times: int) -> float:
    """Return the server's CPU time for one RPC, in microseconds."""
    tell = channel.unary_unary("/bench.S/Cpu")
    echo = channel.unary_unary("/bench.S/Echo")
    talk = channel.stream_stream("/bench.S/Talk")
    before = int(tell(b""))
    for _ in range(times):
        if kind == "unary":
            echo(b"message")
        else:
            list(talk(iter(MESSAGES)))
    return (int(tell(b"")) - before) / times / 1000


def measure(mode: str, kind: str, rounds: int, times: int) -> dict[str, list[float]]:
    """Return the costs of an RPC by arm, one a round."""
    found: dict[str, list[float]] = {arm: [] for arm in ARMS}
    with ExitStack() as stack:
        channels = {arm: stack.enter_context(server(arm, mode)) for arm in ARMS}
        for number in range(-2, rounds):
            for arm in random.sample(ARMS, len(ARMS)):
                cost = cpu_of(channels[arm], kind, times)
                if number >= 0:  # What comes first warms up.
                    found[arm].append(cost)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.grpc", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--times", type=int, default=300)
    options = parser.parse_args()
    print(f"{'':18}{'bare us':>10}{'stock us':>10}{'ours us':>10}{'ours/stock':>12}")
    for mode, kind in itertools.product(("threads", "asyncio"), ("unary", "stream")):
        found = measure(mode, kind, options.rounds, options.times)
        pairs = zip(found["everylayer"], found["stock"], strict=True)
        ratio = statistics.median(ours / stock for ours, stock in pairs)
        costs = "".join(f"{statistics.median(found[arm]):10.1f}" for arm in ARMS)
        print(f"{mode + ' ' + kind:18}{costs}{ratio:12.3f}")


if __name__ == "__main__":
    main()
