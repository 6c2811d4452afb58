"""A whole run, as it is written to and read from a JSON file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .results import Requests
from .spec import FRAMEWORKS, Framework

Rows = list[dict[str, Any]]


@dataclass
class Run:
    """What one run found.

    Attributes:
        meta: versions, command and load: see `facts`.
        requests: CPU and clock of all batches.
        recorded: exception events of one failing request.
        instructions: of one request; `missing` says why there are none.
        latency: one row for each slice of load.
        storms: one row for each storm.
        renderer: rows of the renderer's table.
        monitor: rows of the table of the monitor.
    """

    meta: dict[str, Any]
    requests: Requests = field(default_factory=Requests)
    recorded: Rows = field(default_factory=list)
    instructions: Rows = field(default_factory=list)
    missing: str = ""
    latency: Rows = field(default_factory=list)
    storms: Rows = field(default_factory=list)
    renderer: Rows = field(default_factory=list)
    monitor: Rows = field(default_factory=list)

    def frameworks(self) -> list[Framework]:
        """Return those that were measured."""
        present = {key.framework for key in self.requests.rounds}
        return [framework for framework in FRAMEWORKS if framework in present]

    def write(self, file: Path) -> None:
        """Write all of it as JSON, one line for each series."""
        values = {**vars(self), "requests": self.requests.to_json()}
        parts = []
        for name, value in values.items():
            if isinstance(value, list):
                lines = ",\n".join(f"  {json.dumps(_rounded(row))}" for row in value)
                parts.append(f' "{name}": [\n{lines}\n ]' if value else f' "{name}": []')
            else:
                parts.append(f' "{name}": {json.dumps(value)}')
        file.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")

    @classmethod
    def read(cls, file: Path) -> Run:
        """Read what `write` wrote."""
        values = json.loads(file.read_text(encoding="utf-8"))
        return cls(**{**values, "requests": Requests.from_json(values["requests"])})


def _rounded(value: Any) -> Any:
    """Return `value` with six significant digits: a microsecond of a second."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return value
