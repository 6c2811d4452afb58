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
from collections.abc import Iterable, Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Protocol

from contract.telemetry import Telemetry, session


class Trial(Protocol):
    """One case, to be served in three ways; the telemetry holds nothing before each.

    Attributes:
        name: of the case, and of the server where there are several.
        failing: an error has to be on the trace; otherwise none may be.
    """

    name: str
    failing: bool

    def serve_bare(self) -> Any:
        """Serve it without any instrumentation, and return what the client saw."""

    def lost_by_stock(self, telemetry: Telemetry) -> Sequence[str]:
        """Serve it with stock alone, and return what is wrong with the trace."""

    def lost_by_ours(self, bare: Any, telemetry: Telemetry) -> tuple[Sequence[str], Sequence[str]]:
        """Serve it with stock and everylayer; return what is wrong, and what the client notices."""


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
    warnings = Warnings()
    logging.getLogger("everylayer").addHandler(warnings)
    # What is there by now stays: a collection after each trial looks at what is new only.
    gc.collect()
    gc.freeze()
    tried = failing = 0
    stock: list[str] = []
    ours: dict[str, list[str]] = {}
    unwanted: dict[str, list[str]] = {}
    changed: dict[str, list[str]] = {}
    for trial in trials:
        tried += 1
        failing += trial.failing
        bare = trial.serve_bare()
        if trial.failing:
            telemetry.clear()
            # What stock leaves open must not adopt the next request, nor end within it.
            if contextvars.Context().run(trial.lost_by_stock, telemetry):
                stock.append(trial.name)
            gc.collect()
        telemetry.clear()
        run = contextvars.Context().run
        wrong, noticed = run(trial.lost_by_ours, bare, telemetry)
        if wrong:
            (ours if trial.failing else unwanted)[trial.name] = list(wrong)
        if noticed:
            changed[trial.name] = list(noticed)
    return {
        "tried": tried,
        "failing": failing,
        "stock_lost": stock,
        "ours_lost": ours,
        "unwanted": unwanted,
        "changed": changed,
        "warnings": warnings.kept,
        "own_failures": own_failures(),
    }


def own_failures() -> dict[str, int]:
    """Return what failed within everylayer itself."""
    from everylayer import own_failures

    return dict(own_failures())


def main(framework: str, target: Path) -> None:
    """Probe `framework` and write what was found."""
    table = importlib.import_module(f"matrix_{framework}")
    with session() as telemetry:
        found = probe(table.trials(), telemetry)
    found["versions"] = {d.metadata["Name"].lower(): d.version for d in distributions()}
    target.write_text(json.dumps(found, indent=1), encoding="utf-8", errors="backslashreplace")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
