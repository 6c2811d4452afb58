"""One process's share of a long run."""

from __future__ import annotations

import logging
import random
import time

from contract.telemetry import session

from .grammar import Chain, draw
from .judge import problems
from .shrink import shrink

_REPORT_SECONDS = 30.0


def run(seed: int, chains: int, seconds: float, frameworks: list[str]) -> int:
    """Return 1 if a chain failed, after saying which one."""
    print(f"seed {seed}: {chains} chains of {', '.join(frameworks)}", flush=True)
    # What the frameworks log of each error, nobody reads.
    logging.root.addHandler(logging.NullHandler())
    with session():
        return _run(seed, chains, seconds, frameworks)


def _run(seed: int, chains: int, seconds: float, frameworks: list[str]) -> int:
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
            print(f"seed {seed}: {done}, {done / (told - began):.0f} a second", flush=True)
    spent = time.monotonic() - began
    print(f"seed {seed}: {done} chains as expected, {done / spent:.0f} a second", flush=True)
    return 0


def _report(chain: Chain, wrong: list[str], seed: int, number: int) -> None:
    small = shrink(chain, problems)
    print(f"seed {seed}, chain {number} failed; as a case for tests/chains/cases.py:")
    print(f"    {small!r},")
    for problem in problems(small) or ["(only within the run)", *wrong]:
        print(f"  - {problem}", flush=True)
