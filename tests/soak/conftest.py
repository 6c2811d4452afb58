"""The soak drives the apps of tests/telemetry; both folders hold plain modules."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "telemetry")]
