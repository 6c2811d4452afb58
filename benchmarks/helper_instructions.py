"""Instructions of each helper and of the plain one, child processes included, as one table.

    python -m benchmarks.helpers --instructions

Callgrind counts them, which a busy machine cannot blur. The work is done once and then three times,
so what a run costs by itself falls out of the difference; where it forks, that is done in two
processes, each with its children, and several times over. Nothing is said of caches, of the
kernel's own work, or of waiting.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

from .pairs import Pair, request

PARTS = ("boundaries", "hooks", "processes", "services")
ARMS = ("plain", "ours")
AIM = 1.05
# Of what forks, whose threads wait for each other in another way each time: the median counts.
REPEATED = 5


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
    pair = pairs(part)[case]
    found = []
    for arm in ARMS:
        if pair.forks:
            added = statistics.median(_forked(part, case, arm) for _ in range(REPEATED))
        else:
            parts = _counted(part, case, arm, 0)
            added = parts[".2"] - parts[".1"]
        found.append(added / (2 * pair.calls))
    return Count(part, case, *found)


def _forked(part: str, case: str, arm: str) -> int:
    """Return what two more runs add."""
    once, thrice = (sum(_counted(part, case, arm, times).values()) for times in (1, 3))
    return thrice - once


def _counted(part: str, case: str, arm: str, times: int) -> dict[str, int]:
    """Return the totals by the ends of the names of the files that callgrind wrote."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no"]
        # Threads take turns: else one that waits for the interpreter's lock may spin for long.
        command += ["--fair-sched=try"]
        # A fork begins with the counts of its parent.
        command += ["--zero-before=PyOS_AfterFork_Child", f"--callgrind-out-file={folder}/out.%p"]
        command += [sys.executable, "-m", __spec__.name, part, case, arm, str(times)]
        # Else the order of sets, and with it their cost, is another one in each run.
        fixed = {**os.environ, "PYTHONHASHSEED": "0"}
        done = subprocess.run(command, capture_output=True, text=True, env=fixed, timeout=600)
        if done.returncode:
            raise RuntimeError(f"{case}, {arm}: {done.stderr[-2000:]}")
        files = sorted(Path(folder).iterdir())
        return {(file.suffix if not times else file.name): _total(file) for file in files}


def _total(file: Path) -> int:
    found = re.search(r"^totals: (\d+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"callgrind wrote no total to {file.name}")
    return int(found[1])


def run(pair: Pair, arm: str, times: int) -> None:
    """Do the work of one side while callgrind, around us, counts.

    Args:
        pair: what is compared.
        arm: the side.
        times: how often, with the set-up counted as well: workers that are forked while it counts
            do count. 0 counts two parts, of once and of three times, by themselves.
    """
    gc.disable()
    with request() if pair.inside else nullcontext():
        if times:
            _callgrind("instrumentation", "on")
        with getattr(pair, arm)() as function:
            function()
            for part in (times,) if times else (1, 3):
                if not times:
                    _callgrind("instrumentation", "on")
                    _callgrind("zero")
                for _ in range(part):
                    function()
                if not times:
                    _callgrind("dump", "batch")
                    _callgrind("instrumentation", "off")
        if times:
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
