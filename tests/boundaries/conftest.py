"""Helpers of this folder are plain modules: pytest's importlib mode leaves them off the path."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract import django_settings
from contract.telemetry import Telemetry, session
from everylayer import own_failures, settings

sys.path.insert(0, str(Path(__file__).parent))

django_settings.configure()


@pytest.fixture(autouse=True)
def _nothing_of_ours_failed() -> Iterator[None]:
    before = dict(own_failures())
    yield
    settings.reset()
    assert dict(own_failures()) == before


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    with session() as made:
        yield made
