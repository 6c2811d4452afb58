"""The long run: `python -m chainlab --chains 1000000 [--seed N] [--frameworks asgi flask]`."""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys

from .grammar import GRAMMARS
from .long_run import run


def main() -> int:
    """Run chains until one fails, the number is reached, or the time is over."""
    parser = argparse.ArgumentParser(prog="chainlab", description=__doc__)
    parser.add_argument("--chains", type=int, default=100_000, help="of all frameworks together")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this")
    parser.add_argument("--seed", type=int, default=None, help="of the first process")
    parser.add_argument("--failures", type=int, default=1, help="stop a process at so many")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--frameworks", nargs="+", choices=GRAMMARS, default=list(GRAMMARS))
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(2**32) if given.seed is None else given.seed
    share = given.chains // given.processes
    shares = [
        (seed + number, share, given.seconds, given.failures, given.frameworks)
        for number in range(given.processes)
    ]
    # Each a process that has forked from nothing: event loops and instrumentations are its own.
    with multiprocessing.get_context("spawn").Pool(given.processes) as pool:
        return max(pool.starmap(run, shares, chunksize=1))


if __name__ == "__main__":
    sys.exit(main())
