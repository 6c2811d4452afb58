"""Helpers of this folder are plain modules: pytest's importlib mode leaves them off the path."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.telemetry import Telemetry, session
from everylayer import own_failures

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def nothing_of_ours_failed() -> Iterator[None]:
    """What everylayer keeps from the app must not go unnoticed here."""
    before = dict(own_failures())
    yield
    assert dict(own_failures()) == before


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """An empty in-memory SDK behind the global providers."""
    with session() as empty:
        yield empty
