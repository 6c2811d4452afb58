"""What the core's tests share: an empty SDK, no settings left behind, and no failure of ours."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from opentelemetry import trace

from contract.telemetry import Telemetry, session
from everylayer import failsafe, settings


@pytest.fixture(autouse=True)
def _clean_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for variable in list(os.environ):
        if variable.startswith(("EVERYLAYER_", "OTEL_")):
            monkeypatch.delenv(variable)
    settings.reset()
    yield
    settings.reset()


@pytest.fixture
def failures(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Count our own failures from zero; a test that asks for it expects some."""
    counts: dict[str, int] = {}
    monkeypatch.setattr(failsafe, "_counts", counts)
    return counts


@pytest.fixture(autouse=True)
def _no_failure_of_ours(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """A failure that `contained` hides from the app must not hide from the tests."""
    if "failures" in request.fixturenames:
        yield
        return
    counts: dict[str, int] = {}
    monkeypatch.setattr(failsafe, "_counts", counts)
    yield
    assert counts == {}


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    with session() as found:
        yield found


@pytest.fixture
def tracer(telemetry: Telemetry) -> trace.Tracer:
    return telemetry.provider.get_tracer("app")
