"""Prepare the environment of one row, and probe it with the framework's table."""

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
        found: what `inside/matrix_probe.py` wrote; empty if it came to no end.
        reason: why there is no environment; empty if there is one.
        broken: how the probe ended before its end; empty if it did not.
    """

    row: Row
    found: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    broken: str = ""
    seconds: float = 0.0

    def count(self, *keys: str) -> int:
        """Return how many there are of what the probe listed under these keys; 0 if it broke."""
        listed = [self.found[key] for key in keys if self.found]
        return sum(one if isinstance(one, int) else len(one) for one in listed)

    def complaints(self) -> Iterator[str]:
        """Yield what must not be."""
        if self.broken:
            yield f"{self}: the probe broke: {self.broken}"
        for key, what in _FORBIDDEN.items():
            for name, problems in self.found.get(key, {}).items():
                yield f"{self}: {name}: {what}: {problems}"

    def __str__(self) -> str:
        asked = ", ".join(self.row.requirements[:4])
        return f"{self.row.framework}, {self.row.name}, Python {self.row.python}, {asked}"


_FORBIDDEN = {
    "ours_lost": "lost by everylayer",
    "unwanted": "recorded for nothing",
    "changed": "the response differs",
    "own_failures": "everylayer failed",
}


def run(row: Row, wheels: Sequence[Path]) -> Result:
    """Return what became of `row`."""
    began = time.monotonic()
    found: dict[str, Any] = {}
    reason = broken = ""
    try:
        found = _probe(prepare(row, wheels), row.framework)
    except Unavailable as error:
        reason = str(error)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        broken = (getattr(error, "stderr", None) or str(error)).strip()[-1500:]
    return Result(row, found, reason, broken, time.monotonic() - began)


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
