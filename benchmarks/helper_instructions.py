"""Instructions of each helper and of the plain one, child processes included, as one table.

    python -m benchmarks.helpers --instructions

Callgrind counts them, which a busy machine cannot blur. The work is done once and then three times,
so what a run costs by itself falls out of the difference; where it is done by forked workers, that
is done in two processes, each with its children, and several times over. Where each piece of work
begins a process, each is counted by itself, since a fork takes with it some of what callgrind has
counted before. Nothing is said of caches, of the kernel's own work, or of waiting.
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
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

from .pairs import MARK, Pair, request

PARTS = ("boundaries", "hooks", "processes", "services")
ARMS = ("plain", "ours")
AIM = 1.05
# Of what forks, whose threads wait for each other in another way each time: the median counts.
REPEATED = 3
# Pieces of work that are done before those that count, and that are counted one by one.
WARM, ALONE = 10, 8
# How `run` counts: in two parts; all there is, with the work done once or three times; each piece.
PARTED, ONCE, THRICE, EACH = "parted", "once", "thrice", "each"


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


class _Run(NamedTuple):
    """What one piece of work takes in one run.

    Attributes:
        own: instructions that one side needs.
        common: those of what both sides do alike, and now sooner, now later, or more often.
    """

    own: float
    common: float = 0


def count(part: str, case: str) -> Count:
    """Count both sides of a case; what is common, of both together."""
    pair = pairs(part)[case]
    take = _each_of if pair.begins else _forked if pair.forks else _parted
    times = REPEATED if pair.forks else 1
    sides = [[take(pair, part, case, arm) for _ in range(times)] for arm in ARMS]
    common = statistics.median(run.common for runs in sides for run in runs)
    plain, ours = (common + statistics.median(run.own for run in runs) for runs in sides)
    return Count(part, case, plain / pair.calls, ours / pair.calls)


def _parted(pair: Pair, part: str, case: str, arm: str) -> _Run:
    parts = _counted(pair, part, case, arm, PARTED)
    return _Run((parts[".2"] - parts[".1"]) / 2)


def _forked(pair: Pair, part: str, case: str, arm: str) -> _Run:
    """Count what two more runs add, and of that what the thread adds that wakes as it likes."""
    once, thrice = (_counted(pair, part, case, arm, how) for how in (ONCE, THRICE))
    added = sum(thrice.values()) - sum(once.values())
    woken = _of_thread(thrice, pair.wakes) - _of_thread(once, pair.wakes)
    return _Run((added - woken) / 2, woken / 2)


def _of_thread(totals: dict[str, int], number: str) -> int:
    return sum(total for name, total in totals.items() if number and name.endswith(f"-{number}"))


def _each_of(pair: Pair, part: str, case: str, arm: str) -> _Run:
    """Count one piece of work here and in the process that it begins, once that is at `MARK`.

    Until then both sides do the same: what OpenTelemetry's SDK does in each fork, by a thread.
    """
    dumps: dict[str, dict[int, int]] = {}
    for name, total in _counted(pair, part, case, arm, EACH).items():
        _, process, number = f"{name}.0".split(".")[:3]
        dumps.setdefault(process, {})[int(number)] = total
    # The others were begun before the first that counts.
    children = [found for found in dumps.values() if len(found) == 2]
    here = max(dumps.values(), key=len)
    nothing = here[1]
    return _Run(
        statistics.median(total for number, total in here.items() if number > 1)
        - nothing
        + statistics.median(found[0] for found in children),
        statistics.median(found[1] for found in children),
    )


def _counted(pair: Pair, part: str, case: str, arm: str, how: str) -> dict[str, int]:
    """Return the totals by the names of the files that callgrind wrote, or the ends of those."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no"]
        # Threads take turns: else one that waits for the interpreter's lock may spin for long.
        command += ["--fair-sched=try"]
        # A fork begins with the counts of its parent.
        command += ["--zero-before=PyOS_AfterFork_Child", f"--callgrind-out-file={folder}/out.%p"]
        command += [f"--dump-before={MARK}"] if how == EACH else []
        command += ["--separate-threads=yes"] if pair.wakes else []
        command += [sys.executable, "-m", __spec__.name, part, case, arm, how]
        # Else the order of sets, and with it their cost, is another one in each run.
        fixed = {**os.environ, "PYTHONHASHSEED": "0"}
        done = subprocess.run(command, capture_output=True, text=True, env=fixed, timeout=600)
        if done.returncode:
            raise RuntimeError(f"{case}, {arm}: {done.stderr[-2000:]}")
        # With threads by themselves there is one file more, with nothing in it.
        files = [
            file for file in sorted(Path(folder).iterdir()) if not pair.wakes or "-" in file.name
        ]
        return {(file.suffix if how == PARTED else file.name): _total(file) for file in files}


def _total(file: Path) -> int:
    found = re.search(r"^totals: (\d+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"callgrind wrote no total to {file.name}")
    return int(found[1])


def run(pair: Pair, arm: str, how: str) -> None:
    """Do the work of one side while callgrind, around us, counts.

    Args:
        pair: what is compared.
        arm: the side.
        how: one of the ways above. With `ONCE` and `THRICE` the set-up is counted as well: workers
            that are forked while it counts do count.
    """
    gc.disable()
    with request() if pair.inside else nullcontext():
        if how in (ONCE, THRICE):
            _callgrind("instrumentation", "on")
        with getattr(pair, arm)() as function:
            if how == EACH:
                _each(function)
            else:
                function()
                for part in (1, 3) if how == PARTED else (1 if how == ONCE else 3,):
                    _part(function, part, apart=how == PARTED)
        if how in (ONCE, THRICE):
            _callgrind("instrumentation", "off")


def _each(function: Callable[[], object]) -> None:
    for _ in range(WARM):
        function()
    for times in (0, *[1] * ALONE):
        _part(function, times, apart=True)


def _part(function: Callable[[], object], times: int, apart: bool) -> None:
    if apart:
        _callgrind("zero")
        _callgrind("instrumentation", "on")
    for _ in range(times):
        function()
    if apart:
        _callgrind("instrumentation", "off")
        _callgrind("dump", "batch")


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
    parser.add_argument("how", choices=(PARTED, ONCE, THRICE, EACH))
    given = parser.parse_args()
    run(pairs(given.part)[given.case], given.arm, given.how)


if __name__ == "__main__":
    main()
