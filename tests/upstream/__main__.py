"""Run the suites and write the document: `python -m nox -s upstream [-- SUITE ...]`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from . import fetch, report
from .compare import count, unexplained
from .run import Pair, run_pair
from .suites import SUITES, Suite

ROOT = Path(__file__).parents[2]
WORK = ROOT / "build" / "upstream"
DOCUMENT = ROOT / "docs" / "upstream.md"


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for; the document is written by a whole run only."""
    parser = argparse.ArgumentParser(prog="python -m upstream", description=__doc__)
    names = [suite.distribution for suite in SUITES]
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=", ".join(names))
    asked = parser.parse_args(arguments).suites
    if unknown := {*asked} - {*names}:
        parser.error(f"no such suite: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    chosen = [suite for suite in SUITES if not asked or suite.distribution in asked]

    archives, out = WORK / "sdists", WORK / "results"
    for folder in (archives, out):
        folder.mkdir(parents=True, exist_ok=True)
    fetch.download([suite.distribution for suite in chosen], archives)
    pairs = [_run(suite, archives, out) for suite in chosen]
    if not asked:
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_text(report.write(pairs), encoding="utf-8")
    wrong = [line for pair in pairs for line in complaints(pair)]
    print(*wrong, sep="\n", file=sys.stderr)
    return bool(wrong)


def _run(suite: Suite, archives: Path, out: Path) -> Pair:
    began = time.monotonic()
    homes = {arm: fetch.unpack(suite, archives, WORK / arm) for arm in ("plain", "ours")}
    pair = run_pair(suite, version(suite.distribution), homes, out)
    passed = [count(arm.results, "passed") for arm in (pair.plain, pair.ours)]
    print(
        f"{suite.distribution} {pair.version}: {len(pair.plain.results)} tests, passed {passed[0]} "
        f"plain, {passed[1]} with everylayer, {len(pair.differing)} differ, "
        f"{time.monotonic() - began:.0f} s",
        flush=True,
    )
    return pair


def complaints(pair: Pair) -> list[str]:
    """Return what is wrong with a pair of runs."""
    name, counts = pair.suite.distribution, pair.ours.counts
    found = [f"{name}: {line}" for line in unexplained(pair.differing, pair.suite.known)]
    found += [
        f"{name}: everylayer failed {times} times in {place}"
        for place, times in counts["own_failures"].items()
    ]
    if not count(pair.plain.results, "passed"):
        found.append(f"{name}: no test passed plain, so this run shows nothing")
    if not counts["ledgers"]:
        found.append(f"{name}: everylayer kept no ledger, so this run shows nothing")
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
