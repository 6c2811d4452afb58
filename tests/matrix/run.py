"""Prepare the environment of one row, and probe it with each framework's table."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .axes import ROOT, Row
from .environment import WORK, Unavailable, prepare

_INSIDE = Path(__file__).with_name("inside")
_SECONDS = 600


@dataclass(frozen=True)
class Result:
    """What became of a row.

    Attributes:
        found: what `inside/matrix_probe.py` wrote, by framework.
        reason: why there is no environment; empty if there is one.
        broken: probes that did not come to their end, by framework, and how.
    """

    row: Row
    found: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    broken: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def count(self, framework: str, key: str) -> int:
        """Return how many there are of what the probe of `framework` listed as `key`."""
        listed = self.found[framework][key]
        return listed if isinstance(listed, int) else len(listed)

    @property
    def versions(self) -> dict[str, str]:
        """What is installed, name to version."""
        return next((found["versions"] for found in self.found.values()), {})

    def complaints(self) -> Iterator[str]:
        """Yield what must not be."""
        for framework, how in self.broken.items():
            yield f"{self}: the probe of {framework} broke: {how}"
        for framework, found in self.found.items():
            for key, what in _FORBIDDEN.items():
                for name, problems in found[key].items():
                    yield f"{self}: {framework}: {name}: {what}: {problems}"

    def __str__(self) -> str:
        asked = ", ".join(self.row.requirements[:4])
        return f"{self.row.name}, Python {self.row.python}, {asked}"


_FORBIDDEN = {
    "ours_lost": "lost by everylayer",
    "unwanted": "recorded for nothing",
    "changed": "the response differs",
    "own_failures": "everylayer failed",
}


def run(row: Row, wheels: Sequence[Path]) -> Result:
    """Return what became of `row`."""
    began = time.monotonic()
    try:
        python = prepare(row, wheels)
    except Unavailable as reason:
        return Result(row, reason=str(reason), seconds=time.monotonic() - began)
    found: dict[str, Any] = {}
    broken: dict[str, str] = {}
    for framework in row.frameworks:
        try:
            found[framework] = _probe(python, framework)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or str(error)
            broken[framework] = said.strip()[-1500:]
    return Result(row, found, broken=broken, seconds=time.monotonic() - began)


def _probe(python: Path, framework: str) -> Any:
    target = python.parents[1] / f"{framework}.json"
    target.unlink(missing_ok=True)
    folders = [ROOT / "tests" / "support", ROOT / "tests" / framework]
    environ = {
        name: value
        for name, value in os.environ.items()
        # What a developer has set for their own process is not part of a row.
        if not name.startswith(("OTEL_", "EVERYLAYER_", "DJANGO_", "FLASK_"))
    }
    environ |= {"PYTHONPATH": os.pathsep.join(map(str, folders)), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [str(python), str(_INSIDE / "matrix_probe.py"), framework, str(target)]
    subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=_SECONDS, cwd=WORK, env=environ
    )
    return json.loads(target.read_text(encoding="utf-8"))
