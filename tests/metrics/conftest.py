"""What the tests of metrics share: one meter provider and one tracer provider a process."""

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

from metrics_reading import Reading, install  # noqa: E402 - found by the path above


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """The process's spans, empty."""
    with session() as found:
        yield found


@pytest.fixture
def failures() -> int:
    """Return how often we have failed before; a test that asks for it expects some more."""
    return sum(failsafe.own_failures().values())


@pytest.fixture
def reading(telemetry: Telemetry) -> Reading:
    """What is counted from now on."""
    found = install()
    settings.resolve()
    found.take()
    return found


@pytest.fixture(autouse=True)
def _clean(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for variable in list(os.environ):
        if variable.startswith(("EVERYLAYER_", "OTEL_")):
            monkeypatch.delenv(variable)
    settings.reset()
    before = dict(failsafe.own_failures())
    yield
    settings.reset()
    if "failures" not in request.fixturenames:
        assert dict(failsafe.own_failures()) == before
