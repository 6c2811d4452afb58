"""Run the matrix and write the document: `python -m nox -s matrix [-- django flask] [--quick]`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from . import report
from .axes import FRAMEWORKS, ROOT, Row, rows
from .environment import WORK, build_wheels
from .run import Result, run

DOCUMENT = ROOT / "docs" / "versions.md"


def main(arguments: Sequence[str]) -> int:
    """Run the rows of each framework that is named, and bring its section up to date."""
    parser = argparse.ArgumentParser(prog="python -m matrix", description=__doc__)
    parser.add_argument("frameworks", nargs="*", metavar="framework", help="all if none is named")
    parser.add_argument("--pythons", nargs="+", required=True, help="versions that are there")
    parser.add_argument("--absent", nargs="*", default=[], help="versions that are not")
    parser.add_argument("--quick", action="store_true", help="three rows each, written nowhere")
    parser.add_argument("--processes", type=int, default=2, help="rows at a time")
    asked = parser.parse_args(arguments)
    if unknown := {*asked.frameworks} - {*FRAMEWORKS}:
        parser.error(f"{', '.join(sorted(unknown))}: there are {', '.join(FRAMEWORKS)}")

    WORK.mkdir(parents=True, exist_ok=True)
    wheels = build_wheels()
    wrong: list[str] = []
    for framework in asked.frameworks or FRAMEWORKS:
        chosen = rows(framework, asked.pythons)
        if asked.quick:
            chosen = [chosen[0], chosen[len(chosen) // 2], chosen[-1]]
        results = _run_each(chosen, wheels, asked.processes)
        wrong += [line for result in results for line in result.complaints()]
        if not any(result.found for result in results):
            wrong.append(f"{framework}: no row could be run")
        elif not asked.quick:
            # One after the other: what is done stays, if the rest is cut short.
            old = DOCUMENT.read_text(encoding="utf-8")
            DOCUMENT.write_text(
                report.update(old, framework, results, asked.absent), encoding="utf-8"
            )
    print(*wrong, sep="\n", file=sys.stderr)
    return bool(wrong)


def _run_each(chosen: Iterable[Row], wheels: Sequence[Path], processes: int) -> list[Result]:
    with ThreadPoolExecutor(processes) as pool:
        return list(_telling(pool.map(partial(run, wheels=wheels), chosen)))


def _telling(results: Iterable[Result]) -> Iterator[Result]:
    began = time.monotonic()
    for result in results:
        what = (
            result.reason
            or result.broken
            or "ours lost {} of {}, stock {}".format(
                *map(result.count, ("ours_lost", "failing", "stock_lost"))
            )
        )
        print(f"{time.monotonic() - began:.0f} s: {result}: {what}", flush=True)
        yield result


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
