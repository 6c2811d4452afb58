"""One Django project for the whole directory, and its importable parts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract import django_settings
from contract.telemetry import Telemetry, session

sys.path.insert(0, str(Path(__file__).parent))

django_settings.configure()


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """The process's spans, empty."""
    with session() as made:
        yield made


@pytest.fixture(autouse=True)
def _as_found() -> Iterator[None]:
    """Begin and end without a patch."""
    from everylayer_django import patches

    patches.uninstall()
    yield
    patches.uninstall()
