"""Helpers of this folder are plain modules: pytest's importlib mode leaves them off the path."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.telemetry import Telemetry, session

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """An empty in-memory SDK behind the global providers."""
    with session() as empty:
        yield empty
