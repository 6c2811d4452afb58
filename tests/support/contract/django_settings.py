"""Django's settings where cases run in this process: it has one configuration."""

from __future__ import annotations

import logging

import django
from django.conf import settings


def configure() -> None:
    """Configure Django, unless another folder's tests have done so already."""
    if settings.configured:
        return
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
