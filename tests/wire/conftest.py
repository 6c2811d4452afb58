"""Storms of errors, and what they are sent to."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from everylayer import failsafe, settings

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for variable in list(os.environ):
        if variable.startswith(("EVERYLAYER_", "OTEL_")):
            monkeypatch.delenv(variable)
    counts: dict[str, int] = {}
    monkeypatch.setattr(failsafe, "_counts", counts)
    settings.reset()
    yield
    settings.reset()
    assert counts == {}
