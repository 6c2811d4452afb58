"""The long run: `python -m chainlab --chains 1000000 [--seed N] [--frameworks asgi flask]`."""

from __future__ import annotations

import argparse
import gc
import logging
import random
import sys
import time

from contract.telemetry import session

from .grammar import GRAMMARS, Chain, draw
from .judge import problems
from .shrink import shrink

_REPORT_SECONDS = 30.0


def main() -> int:
    """Run chains until one fails, the number is reached, or the time is over."""
    parser = argparse.ArgumentParser(prog="chainlab", description=__doc__)
    parser.add_argument("--chains", type=int, default=100_000, help="of all frameworks together")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--frameworks", nargs="+", choices=GRAMMARS, default=list(GRAMMARS))
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(2**32) if given.seed is None else given.seed
    print(f"seed {seed}, {given.chains} chains of {', '.join(given.frameworks)}", flush=True)
    # What the frameworks log of each error, nobody reads.
    logging.root.addHandler(logging.NullHandler())
    with session():
        return run(seed, given.chains, given.seconds, given.frameworks)


def run(seed: int, chains: int, seconds: float, frameworks: list[str]) -> int:
    """Return 1 if a chain failed, after saying which one."""
    rng = random.Random(seed)
    began = told = time.monotonic()
    done = 0
    while done < chains and time.monotonic() - began < seconds:
        chain = draw(frameworks[done % len(frameworks)], rng.choice)
        wrong = problems(chain)
        done += 1
        if wrong:
            _report(chain, wrong, seed, done)
            return 1
        if time.monotonic() - told > _REPORT_SECONDS:
            told = time.monotonic()
            print(f"{done} chains, {done / (told - began):.0f} a second", flush=True)
            gc.collect()
    spent = time.monotonic() - began
    print(f"seed {seed}: {done} chains as expected, {done / spent:.0f} a second", flush=True)
    return 0


def _report(chain: Chain, wrong: list[str], seed: int, number: int) -> None:
    small = shrink(chain, problems)
    print(f"seed {seed}, chain {number} failed; as a case for tests/chains/cases.py:")
    print(f"    {small!r},")
    for problem in problems(small) or ["(only within the run)", *wrong]:
        print(f"  - {problem}")


if __name__ == "__main__":
    sys.exit(main())
