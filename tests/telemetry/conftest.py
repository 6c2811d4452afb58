"""Helpers of this folder are plain modules: pytest's importlib mode leaves them off the path."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.telemetry import Telemetry, session
from everylayer import settings

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _environment_read_anew() -> Iterator[None]:
    yield
    settings.reset()


@pytest.fixture(autouse=True)
def _collected_in_between() -> Iterator[None]:
    """Keep the collector from coming while a context variable is being set.

    Where its span processors fail, stock leaves generators behind that set one when they are
    collected; CPython 3.10 does not survive that.
    """
    if sys.version_info >= (3, 11):
        yield
        return
    gc.disable()
    yield
    gc.enable()
    gc.collect()


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """An empty in-memory SDK behind the global providers."""
    with session() as empty:
        yield empty
