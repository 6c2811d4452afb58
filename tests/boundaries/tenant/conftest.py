"""What the tests of tenants share: an empty SDK, no settings left behind, no failure of ours."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract import django_settings
from contract.telemetry import Telemetry, session
from everylayer import failsafe, settings

sys.path.insert(0, str(Path(__file__).parent))

django_settings.configure()


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """The process's spans, empty."""
    with session() as found:
        yield found


@pytest.fixture
def failures(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Count failures from zero; a test that asks for it expects some."""
    counts: dict[str, int] = {}
    monkeypatch.setattr(failsafe, "_counts", counts)
    return counts


@pytest.fixture(autouse=True)
def _clean(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for variable in list(os.environ):
        if variable.startswith(("EVERYLAYER_", "OTEL_")):
            monkeypatch.delenv(variable)
    settings.reset()
    counts = failsafe._counts
    if "failures" not in request.fixturenames:
        counts = {}
        monkeypatch.setattr(failsafe, "_counts", counts)
    yield
    settings.reset()
    if "failures" not in request.fixturenames:
        assert counts == {}
