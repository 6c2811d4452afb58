"""Nothing of Sentry's is left behind."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from contract.telemetry import Telemetry, session
from everylayer import settings
from everylayer.sinks.sentry import switch

if TYPE_CHECKING:
    from sentry_kit import Kept

# What is left without it asks what everylayer says then.
_SDK = importlib.util.find_spec("sentry_sdk") is not None
collect_ignore_glob = [] if _SDK else ["test_sentry_[!m]*.py"]


def pytest_report_header() -> str | None:
    return None if _SDK else "tests/sentry: most is left out, sentry-sdk is not installed"


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """The process's spans, empty."""
    with session() as made:
        yield made


@pytest.fixture
def sentry() -> Iterator[Kept]:
    """Sentry as a bare client: its integrations patch the process for good."""
    from sentry_kit import initialised

    with initialised(default_integrations=False, auto_enabling_integrations=False) as kept:
        yield kept


@pytest.fixture(autouse=True)
def _as_found() -> Iterator[None]:
    settings.reset()
    yield
    switch.detach()
    settings.reset()
