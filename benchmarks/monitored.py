"""What `swallowed="monitor"` costs: an exception that is handled, anywhere in the process.

    python benchmarks/monitored.py [--rounds N]

The same function runs with the monitor off and on, in turn, round by round; CPU time is counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from everylayer import monitor
from everylayer.layers import Layer

# Seconds below which a measurement is repeated.
SHORTEST = 0.004
CALLS = 100


@dataclass(frozen=True)
class Row:
    """One line of the table; times are nanoseconds a call.

    Attributes:
        case: what is called.
        off: median without the monitor.
        on: median with it.
        ratio: median of on / off over the rounds.
        low: the tenth part of the rounds is below.
        high: the tenth part is above.
    """

    case: str
    off: float
    on: float
    ratio: float
    low: float
    high: float


def nothing_raised() -> None:
    try:
        len("")
    except KeyError:
        return


def handled_at_once() -> None:
    try:
        raise KeyError
    except KeyError:
        return


def _deep(depth: int) -> None:
    if depth == 0:
        raise KeyError
    _deep(depth - 1)


def handled_further_out() -> None:
    try:
        _deep(10)
    except KeyError:
        return


CASES: tuple[tuple[str, Callable[[], None]], ...] = (
    ("nothing raised", nothing_raised),
    ("raised and handled in one function", handled_at_once),
    ("handled 11 calls further out", handled_further_out),
)


class _Owner:
    """Stands for an app: the monitor is on while there is one."""


def _layer() -> None:
    try:
        len("")
    except KeyError:
        return


def timed(function: Callable[[], None]) -> float:
    """Return seconds of CPU a call."""
    clock = time.thread_time
    passes = 1
    while True:
        start = clock()
        for _ in range(passes * CALLS):
            function()
        spent = clock() - start
        if spent >= SHORTEST:
            return spent / passes / CALLS
        passes *= 2


def timed_on(function: Callable[[], None]) -> float:
    """Do the same with the monitor on, for a layer that is another one."""
    owner = _Owner()
    monitor.watch(owner, Layer("Layer", "middleware"), [_layer.__code__], lambda *_: None)
    try:
        function()
        return timed(function)
    finally:
        monitor.leave(owner)


def measure(rounds: int = 15) -> Iterator[Row]:
    """Yield the rows; none before Python 3.12, which has no monitor."""
    for case, function in CASES if sys.version_info >= (3, 12) else ():
        timed_on(function)
        pairs = [(timed(function), timed_on(function)) for _ in range(rounds)]
        ratios = sorted(on / off for off, on in pairs)
        tenth = len(ratios) // 10
        yield Row(
            case,
            statistics.median(off for off, _ in pairs) * 1e9,
            statistics.median(on for _, on in pairs) * 1e9,
            statistics.median(ratios),
            ratios[tenth],
            ratios[-1 - tenth],
        )


def main() -> None:
    """Print the rows, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    for row in measure(parser.parse_args().rounds):
        print(json.dumps(asdict(row)), flush=True)


if __name__ == "__main__":
    main()
