"""One process's share of a long run."""

from __future__ import annotations

import gc
import logging
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator

from contract.telemetry import session

from .grammar import Chain, draw, variants
from .judge import finish, problems
from .shrink import shrink

_REPORT_SECONDS = 10.0
# Under ASGI Django moves between threads, and takes ten times as long as others.
WEIGHTS = {"asgi": 4, "starlette": 4, "fastapi": 2, "flask": 4, "django": 4, "django_async": 1}


def run(seed: int, chains: int, seconds: float, failures: int, frameworks: list[str]) -> int:
    """Return 1 if a chain failed, after saying which one; stop at so many `failures`."""
    print(f"seed {seed}: {chains} chains of {', '.join(frameworks)}", flush=True)
    # What the frameworks log of each error, nobody reads.
    logging.root.addHandler(logging.NullHandler())
    # Each app reads the whole environment for its settings, and here there are many apps.
    os.environ.clear()
    # A thread that hands over to another one waits for as long as this.
    sys.setswitchinterval(0.0005)
    # The chains leave cycles behind, but what was imported is never one of them.
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    with session():
        try:
            return _run(seed, chains, seconds, failures, frameworks)
        finally:
            finish()


def shapes(rng: random.Random, frameworks: list[str]) -> Iterator[Chain]:
    """Draw chains without end, by weight of their framework."""
    weighted = [name for name in frameworks for _ in range(WEIGHTS[name])]
    while True:
        yield draw(rng.choice(weighted), rng.choice)


def _run(seed: int, chains: int, seconds: float, failures: int, frameworks: list[str]) -> int:
    began = told = time.monotonic()
    done: Counter[str] = Counter()
    failed = 0

    def tell(how: str) -> None:
        speed = done.total() / (time.monotonic() - began)
        print(
            f"seed {seed}: {done.total()} chains {how}, {speed:.0f} a second: {dict(done)}",
            flush=True,
        )

    # A shape is served in each setup, one after the other: so it has to be built and served
    # without everylayer only once.
    for shape in shapes(random.Random(seed), frameworks):
        for chain in variants(shape):
            if done.total() >= chains or time.monotonic() - began > seconds:
                tell(f"served, {failed} failed" if failed else "as expected")
                return int(failed > 0)
            wrong = problems(chain)
            done[chain.framework] += 1
            if wrong:
                _report(chain, wrong, seed, done.total())
                failed += 1
                if failed >= failures:
                    return 1
        if time.monotonic() - told > _REPORT_SECONDS:
            told = time.monotonic()
            tell(f"so far, {failed} failed")
    raise AssertionError("there is always one more")


def _report(chain: Chain, wrong: list[str], seed: int, number: int) -> None:
    small = shrink(chain, problems)
    print(f"seed {seed}, chain {number} failed; as a case for tests/chains/cases.py:")
    print(f"    {small!r},")
    for problem in problems(small) or ["(only within the run)", *wrong]:
        print(f"  - {problem}", flush=True)
