"""Instructions of each helper and of the plain one, child processes included, as one table.

    python -m benchmarks.helpers --instructions

Callgrind counts them, which a busy machine cannot blur. The work is done once in one process and
three times in another, so what a run costs by itself falls out of the difference. Nothing is said
of caches, of the kernel's own work, or of waiting.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

from .pairs import Pair, request

PARTS = ("boundaries", "processes", "services")
ARMS = ("plain", "ours")
AIM = 1.05


class Count(NamedTuple):
    """One line of the table: instructions for one piece of work, in all processes together."""

    part: str
    case: str
    plain: float
    ours: float

    @property
    def ratio(self) -> float:
        return self.ours / self.plain


def pairs(part: str) -> dict[str, Pair]:
    """Return what the module `part` of this package compares."""
    found: dict[str, Pair] = importlib.import_module(f"{__package__}.{part}").pairs()
    return found


def missing() -> str:
    """Return what this machine lacks, nothing if it can count."""
    return "" if shutil.which("vgdb") else "not counted: valgrind not found"


def count(part: str, case: str) -> Count:
    """Count both sides of a case."""
    calls = pairs(part)[case].calls
    found = []
    for arm in ARMS:
        once, thrice = (_instructions(part, case, arm, times) for times in (1, 3))
        found.append((thrice - once) / (2 * calls))
    return Count(part, case, *found)


def _instructions(part: str, case: str, arm: str, times: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no"]
        # A fork begins with the counts of its parent.
        command += ["--zero-before=PyOS_AfterFork_Child", f"--callgrind-out-file={folder}/out.%p"]
        command += [sys.executable, "-m", __spec__.name, part, case, arm, str(times)]
        # Else the order of sets, and with it their cost, is another one in each run.
        fixed = {**os.environ, "PYTHONHASHSEED": "0"}
        subprocess.run(command, check=True, capture_output=True, env=fixed, timeout=600)
        return sum(map(_total, Path(folder).iterdir()))


def _total(file: Path) -> int:
    found = re.search(r"^totals: (\d+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"callgrind wrote no total to {file.name}")
    return int(found[1])


def run(pair: Pair, arm: str, times: int) -> None:
    """Do the work of one side; callgrind, around us, counts from its set-up on."""
    gc.disable()
    with request() if pair.inside else nullcontext():
        # Workers are forked while it counts, and so count too.
        _callgrind("instrumentation", "on")
        with getattr(pair, arm)() as function:
            function()
            for _ in range(times):
                function()
        _callgrind("instrumentation", "off")


def _callgrind(*words: str) -> None:
    command = ["vgdb", f"--pid={os.getpid()}", *words]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def table(parts: list[str], only: str = "") -> Iterator[str]:
    """Yield the lines of the table, each as soon as it is counted.

    Args:
        parts: of `PARTS`.
        only: what the names of the cases must contain.
    """
    yield "| helper | plain | everylayer | more | ratio |"
    yield "|---|---:|---:|---:|---:|"
    for part in parts:
        for case in pairs(part):
            if only not in case:
                continue
            row = count(part, case)
            yield (
                f"| {row.case} | {row.plain:,.0f} | {row.ours:,.0f} "
                f"| {row.ours - row.plain:+,.0f} | {_shown(row.ratio)} |"
            )


def _shown(ratio: float) -> str:
    return f"{ratio:.3f}" if ratio <= AIM else f"**{ratio:.3f}**"


def main() -> None:
    """Do the work of one side: `count` starts this under callgrind."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("case")
    parser.add_argument("arm", choices=ARMS)
    parser.add_argument("times", type=int)
    given = parser.parse_args()
    run(pairs(given.part)[given.case], given.arm, given.times)


if __name__ == "__main__":
    main()
