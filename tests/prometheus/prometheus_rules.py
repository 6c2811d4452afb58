"""The rules in deploy/prometheus, as they are and with windows of seconds."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "deploy" / "prometheus"
RULES = FOLDER / "everylayer.rules.yml"
TESTS = FOLDER / "everylayer.tests.yml"

# Window -> what stands for it in a test that cannot wait for hours.
SHORT = {
    "5m": "5s",
    "15m": "6s",
    "30m": "8s",
    "1h": "10s",
    "2h": "12s",
    "6h": "15s",
    "1d": "20s",
    "3d": "30s",
    "30d": "60s",
}
_WINDOW = re.compile(r"(?<=\[)\d+[mhd](?=\])|(?<=for: )\d+[mhd]")


def shortened() -> str:
    """Return the same rules over windows of seconds."""
    return _WINDOW.sub(lambda found: SHORT[found[0]], RULES.read_text(encoding="utf-8"))


def names(kind: str) -> list[str]:
    """Return the names of all rules of `kind`, `record` or `alert`."""
    return re.findall(rf"^ +- {kind}: (\S+)$", RULES.read_text(encoding="utf-8"), re.MULTILINE)
