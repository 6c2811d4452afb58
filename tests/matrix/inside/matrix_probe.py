"""Runs in the environment of a row: every case of one framework, without, with stock, with both.

`python matrix_probe.py FRAMEWORK FILE` writes what was found to FILE, as JSON.
"""

from __future__ import annotations

import contextvars
import gc
import importlib
import json
import logging
import sys
from collections.abc import Iterable
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from contract.telemetry import Telemetry, session
from matrix_trial import Arm, Trial


class Warnings(logging.Handler):
    """Keeps what everylayer warns of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.kept: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text not in self.kept:
            self.kept.append(text)


def probe(trials: Iterable[Trial], telemetry: Telemetry) -> dict[str, Any]:
    """Serve each trial in each way and return what went wrong, by name."""
    tried = failing = 0
    stock: list[str] = []
    ours: dict[str, list[str]] = {}
    unwanted: dict[str, list[str]] = {}
    changed: dict[str, list[str]] = {}
    for trial in trials:
        tried += 1
        failing += trial.failing
        bare = trial.serve("bare")
        if trial.failing:
            if served(trial, "stock", telemetry)[1]:
                stock.append(trial.name)
            gc.collect()
        seen, wrong = served(trial, "ours", telemetry)
        noticed = trial.noticed(bare, seen)
        wrong = [line for line in wrong if line not in noticed]
        if wrong:
            (ours if trial.failing else unwanted)[trial.name] = wrong
        if noticed:
            changed[trial.name] = noticed
    return {
        "tried": tried,
        "failing": failing,
        "stock_lost": stock,
        "ours_lost": ours,
        "unwanted": unwanted,
        "changed": changed,
        "own_failures": own_failures(),
    }


def served(trial: Trial, arm: Arm, telemetry: Telemetry) -> tuple[Any, list[str]]:
    """Serve it with instrumentation; return what the client saw, and what is wrong."""

    def run() -> tuple[Any, list[str]]:
        seen = trial.serve(arm)
        return seen, trial.wrong(seen, telemetry, ours=arm == "ours")

    telemetry.clear()
    # What stock leaves open must not adopt the next request, nor end within it.
    return contextvars.Context().run(run)


def own_failures() -> dict[str, int]:
    """Return what failed within everylayer itself."""
    from everylayer import own_failures

    return dict(own_failures())


def main(framework: str, target: Path) -> None:
    """Probe `framework` and write what was found."""
    table = importlib.import_module(f"matrix_{framework}")
    warnings = Warnings()
    logging.getLogger("everylayer").addHandler(warnings)
    # What is there by now stays: a collection after each trial looks at what is new only.
    gc.collect()
    gc.freeze()
    with session() as telemetry:
        found = probe(table.trials(), telemetry)
    found["warnings"] = warnings.kept
    found["versions"] = {d.metadata["Name"].lower(): d.version for d in distributions()}
    target.write_text(json.dumps(found, indent=1), encoding="utf-8", errors="backslashreplace")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
