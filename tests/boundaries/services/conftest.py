"""An empty SDK for each test, no settings left behind, and no failure of ours."""

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
def failures(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Count our own failures; a test that asks for it expects some."""
    counts: dict[str, int] = {}
    monkeypatch.setattr(failsafe, "_counts", counts)
    return counts


@pytest.fixture(autouse=True)
def _as_found(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from everylayer_django import config, patches

    for variable in list(os.environ):
        if variable.startswith(("EVERYLAYER_", "OTEL_")):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    counts: dict[str, int] = {}
    monkeypatch.setattr(failsafe, "_counts", counts)
    settings.reset()
    yield
    settings.reset()
    patches.uninstall()
    config.give({})
    assert counts == {}


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    with session() as empty:
        yield empty
