"""Run the matrix and write the document: `python -m nox -s matrix [-- --quick]`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from . import report
from .axes import ROOT, Row, rows
from .environment import WORK, build_wheels
from .run import Result, run

DOCUMENT = ROOT / "docs" / "versions.md"


def main(arguments: Sequence[str]) -> int:
    """Run every row, or three of them; the document is written by a whole run only."""
    parser = argparse.ArgumentParser(prog="python -m matrix", description=__doc__)
    parser.add_argument("--pythons", nargs="+", required=True, help="versions that are there")
    parser.add_argument("--absent", nargs="*", default=[], help="versions that are not")
    parser.add_argument("--quick", action="store_true", help="the first, middle and last row")
    parser.add_argument("--processes", type=int, default=2, help="rows at a time")
    asked = parser.parse_args(arguments)

    began = time.monotonic()
    WORK.mkdir(parents=True, exist_ok=True)
    wheels = build_wheels()
    chosen = rows(asked.pythons)
    if asked.quick:
        chosen = [chosen[0], chosen[len(chosen) // 2], chosen[-1]]
    with ThreadPoolExecutor(asked.processes) as pool:
        results = []
        for result in pool.map(partial(run, wheels=wheels), chosen):
            print(_told(result), flush=True)
            results.append(result)
    print(f"{len(chosen)} rows in {time.monotonic() - began:.0f} s")
    if not asked.quick:
        DOCUMENT.write_text(report.write(results, asked.absent), encoding="utf-8")
    wrong = [line for result in results for line in result.complaints()]
    wrong += _uncovered(results)
    print(*wrong, sep="\n", file=sys.stderr)
    return bool(wrong)


def _told(result: Result) -> str:
    if result.reason:
        return f"{result}: not to be had: {result.reason}"
    parts = [
        f"{name} stock lost {result.count(name, 'stock_lost')} of {result.count(name, 'failing')}, "
        f"everylayer {result.count(name, 'ours_lost')}"
        for name in result.found
    ]
    return f"{result}: {'; '.join(parts)} ({result.seconds:.0f} s)"


def _uncovered(results: Sequence[Result]) -> list[str]:
    """Return what makes the whole run worth nothing."""
    rows_run: list[Row] = [result.row for result in results if result.found]
    return [] if rows_run else ["no row could be run"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
