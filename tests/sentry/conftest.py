"""Nothing of Sentry's is left behind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("sentry_sdk")
sys.path.insert(0, str(Path(__file__).parent))

from contract.telemetry import Telemetry, session
from everylayer import settings
from everylayer.sinks.sentry import switch
from sentry_kit import Kept, initialised


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """The process's spans, empty."""
    with session() as made:
        yield made


@pytest.fixture
def sentry() -> Iterator[Kept]:
    """Sentry as a bare client: its integrations patch the process for good."""
    with initialised(default_integrations=False, auto_enabling_integrations=False) as kept:
        yield kept


@pytest.fixture(autouse=True)
def _as_found() -> Iterator[None]:
    settings.reset()
    yield
    switch.detach()
    settings.reset()
