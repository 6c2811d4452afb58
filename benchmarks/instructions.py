"""Instructions a request, counted by callgrind: what a busy machine cannot blur.

The counts of two batches are subtracted, so what a batch costs by itself falls out. Nothing is
said of caches and branches: time follows instructions only roughly, and ratios of both differ.
The garbage collector is off: a run of it more or less in so few requests would be one per cent.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from .fleet import Process
from .spec import Batch, Spec

TOOL = "callgrind"


def missing() -> str:
    """Return what this machine lacks for the counts, nothing if they can be had."""
    absent = [name for name in ("valgrind", "vgdb") if shutil.which(name) is None]
    return f"not measured: {' and '.join(absent)} not found" if absent else ""


def count(spec: Spec, corpus: Path, batches: Sequence[Batch]) -> list[float]:
    """Return the instructions of one request of each batch.

    Args:
        spec: the measured process; it runs some forty times slower than by itself.
        corpus: folder of the generated modules.
        batches: each is run once as it is, and once three times as large.
    """
    with tempfile.TemporaryDirectory() as folder:
        process = Process(spec, corpus, prefix=valgrind(Path(folder)))
        process.ready()
        try:
            process.ask("warm", paths=[batches[0].ok, batches[0].fail], rounds=60)
            process.ask("still")
            meter = Meter(process.pid, Path(folder))
            totals: list[int] = []
            for batch in batches:
                for times in (1, 3):
                    larger = dataclasses.replace(batch, requests=batch.requests * times)
                    totals.append(meter.of(partial(process.run, larger)))
        finally:
            process.stop()
    return [
        (large - small) / (2 * batch.requests)
        for batch, small, large in zip(batches, totals[::2], totals[1::2], strict=True)
    ]


class Meter:
    """Counts what a process does that runs under `valgrind(folder)`."""

    def __init__(self, pid: int, folder: Path) -> None:
        self._pid = pid
        self._folder = folder
        self._parts = 0

    def of(self, act: Callable[[], object]) -> int:
        """Return the instructions of the process while `act` runs, which makes it work."""
        _monitor(self._pid, "instrumentation", "on")
        _monitor(self._pid, "zero")
        act()
        _monitor(self._pid, "dump", "batch")
        _monitor(self._pid, "instrumentation", "off")
        self._parts += 1
        return _total(self._folder / f"out.{self._parts}")


def valgrind(folder: Path) -> list[str]:
    """Return what to put before a command, so that a `Meter` of `folder` can count."""
    return [
        "valgrind",
        "--quiet",
        "--tool=callgrind",
        "--instr-atstart=no",
        f"--log-file={folder / 'log'}",
        f"--callgrind-out-file={folder / 'out'}",
    ]


def _monitor(pid: int, *words: str) -> None:
    subprocess.run(["vgdb", f"--pid={pid}", *words], check=True, capture_output=True)


def _total(file: Path) -> int:
    found = re.search(r"^totals: (\d+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"callgrind wrote no total to {file.name}")
    return int(found[1])
