"""`python tests/soak --seconds 600`: every app under load for its share of the time, a table."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "support"), str(HERE.parent / "telemetry")]

from kit_apps import BOTH, FRAMEWORKS, OURS, WSGI  # noqa: E402
from soak_load import TASKS, THREADS, Load, Plan, blocks, hasty, load  # noqa: E402

PLANS = [
    Plan(framework, arm, THREADS if framework in WSGI else TASKS)
    for framework in FRAMEWORKS
    for arm in (OURS, BOTH)
    # Plain apps have no package of their own to test with stock.
    if framework not in ("wsgi", "asgi") or arm is OURS
]
# Of one leaked object an error there are 0.2 a request.
LEAK_PER_REQUEST = 0.02
NOISE = 3000
# The allocator keeps what a burst took, so this only catches what never stops.
RSS_FACTOR = 1.25
PAGE = 4096


@dataclass(frozen=True)
class Row:
    """What one app went through; memory in bytes, growth in blocks."""

    plan: Plan
    load: Load
    seconds: float
    grown: int
    rss: tuple[int, int]

    @property
    def failed(self) -> bool:
        """Whether anything at all is wrong."""
        limit = NOISE + LEAK_PER_REQUEST * self.load.counts.requests
        return bool(
            self.load.counts.wrong
            or self.load.witness.unclaimed
            or self.load.alive()
            or self.load.own_failures()
            or self.grown > limit
            or self.rss[1] > RSS_FACTOR * self.rss[0]
        )


def rss() -> int:
    """Return the resident memory of this process in bytes, 0 where that is not told."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE
    except OSError:
        return 0


def soak(plan: Plan, seconds: float) -> Row:
    """Keep one app under load for `seconds`; its memory counts after the first fifth of them."""
    each = 2 if plan.asynchronous else 50
    with load(plan) as under:
        seed, began = 0, time.monotonic()
        while seed < 2 or time.monotonic() - began < seconds / 5:
            under.run(each, seed)
            seed += 1
        before, held, warm = blocks(), rss(), seed
        while seed == warm or time.monotonic() - began < seconds:
            under.run(each, seed)
            seed += 1
        return Row(plan, under, time.monotonic() - began, blocks() - before, (held, rss()))


def line(row: Row) -> str:
    """Return one line of the table."""
    counts = row.load.counts
    wrong = (
        counts.lost,
        counts.doubled,
        counts.crossed,
        counts.invented,
        counts.misplaced,
        counts.spans,
        counts.answers,
        row.load.witness.unclaimed,
        row.load.alive(),
        row.load.own_failures(),
    )
    memory = f"{row.rss[0] / 2**20:.0f} -> {row.rss[1] / 2**20:.0f}"
    cells = (f"{counts.requests:,}", f"{counts.errors:,}", *wrong, f"{row.grown:,}", memory)
    verdict = "FAILED" if row.failed else "ok"
    return f"| {row.plan!s:48} | " + " | ".join(f"{c!s:>9}" for c in cells) + f" | {verdict} |"


HEADS = (
    "requests",
    "errors",
    "lost",
    "doubled",
    "crossed",
    "invented",
    "misplaced",
    "spans",
    "answers",
    "unclaimed",
    "retained",
    "own fail.",
    "blocks +",
    "RSS MiB",
)


def main() -> int:
    """Run every plan, print the table, and return 1 if anything was lost or kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="in all; 600 by default")
    seconds = parser.parse_args().seconds
    # The errors are the app's own: their number is the point, not their text.
    logging.disable(logging.CRITICAL)
    rows: list[Row] = []
    print(f"| {'app':48} | " + " | ".join(f"{head:>9}" for head in HEADS) + " | |")
    print("|---" * (len(HEADS) + 2) + "|")
    with hasty():
        for plan in PLANS:
            rows.append(soak(plan, seconds / len(PLANS)))
            print(line(rows[-1]), flush=True)
    for row in rows:
        for example in row.load.witness.examples:
            print(f"\n{row.plan}: {example}")
    requests = sum(row.load.counts.requests for row in rows)
    errors = sum(row.load.counts.errors for row in rows)
    spent = sum(row.seconds for row in rows)
    failed = sum(row.failed for row in rows)
    print(
        f"\n{requests:,} requests, {errors:,} errors, {spent:.0f} s, {failed} of {len(rows)} failed"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
