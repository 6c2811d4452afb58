"""Instructions a request, counted by callgrind: what a busy machine cannot blur.

The counts of two batches are subtracted, so what a batch costs by itself falls out. Nothing is
said of caches and branches: time follows instructions only roughly, and ratios of both differ.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from .fleet import Process
from .spec import Batch, Spec

TOOL = "callgrind"


def missing() -> str:
    """Return what this machine lacks for the counts, nothing if they can be had."""
    absent = [name for name in ("valgrind", "vgdb") if shutil.which(name) is None]
    return f"not measured: {' and '.join(absent)} not found" if absent else ""


def count(spec: Spec, corpus: Path, batches: Callable[[int], Batch], small: int) -> float:
    """Return the instructions of one request.

    Args:
        spec: the measured process; it runs some forty times slower than by itself.
        corpus: folder of the generated modules.
        batches: makes a batch of so many requests.
        small: how many for the first batch; the second has three times as many.
    """
    with tempfile.TemporaryDirectory() as folder:
        process = Process(spec, corpus, prefix=_valgrind(Path(folder)))
        process.ready()
        try:
            batch = batches(small)
            process.ask("warm", paths=[batch.ok, batch.fail], rounds=60)
            totals = []
            for number, size in enumerate((small, small * 3), start=1):
                _monitor(process.pid, "instrumentation", "on")
                _monitor(process.pid, "zero")
                process.run(batches(size))
                _monitor(process.pid, "dump", "batch")
                _monitor(process.pid, "instrumentation", "off")
                totals.append(_total(Path(folder) / f"out.{number}"))
        finally:
            process.stop()
    return (totals[1] - totals[0]) / (2 * small)


def _valgrind(folder: Path) -> list[str]:
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
