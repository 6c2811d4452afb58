"""One Django project for the whole directory, and its importable parts."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import django
import pytest
from django.conf import settings

from contract.telemetry import Telemetry, session

sys.path.insert(0, str(Path(__file__).parent))

if not settings.configured:
    settings.configure(
        SECRET_KEY="not a secret",
        ROOT_URLCONF="djangoapp.urls",
        ALLOWED_HOSTS=["127.0.0.1", "testserver"],
        MIDDLEWARE=[],
        LOGGING_CONFIG=None,
        USE_TZ=True,
    )
    django.setup()
    # What a handler makes of a hostile exception is not what is tested here.
    logging.getLogger("django").setLevel(logging.CRITICAL + 1)


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
