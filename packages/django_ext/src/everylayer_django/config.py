"""The settings of this Django app: `EVERYLAYER` over `configure()` over the environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured

from everylayer.settings import Settings, SettingsError, resolve

NAME = "EVERYLAYER"

_given: dict[str, Any] = {}
_current: Settings | None = None


def give(values: Mapping[str, Any]) -> None:
    """Set keyword arguments of the instrumentor, which win over everything else.

    Raises:
        SettingsError: for one that is unknown or does not fit.
    """
    global _current
    resolve(values)
    _given.clear()
    _given.update(values)
    _current = None


def load() -> Settings:
    """Read the settings anew; called whenever Django builds a middleware chain.

    Raises:
        ImproperlyConfigured: naming the setting and the remedy.
    """
    global _current
    _current = None
    _current = outside()
    return _current


def outside() -> Settings:
    """Return the settings in force outside of requests: with what `configure()` says by now.

    Raises:
        ImproperlyConfigured: naming the setting and the remedy.
    """
    written = getattr(django_settings, NAME, None) or {}
    if not isinstance(written, Mapping):
        raise ImproperlyConfigured(
            f"{NAME} in the Django settings is {written!r:.200}; "
            'it must be a dict, such as {"client_errors": "all"}.'
        )
    try:
        return resolve({**written, **_given})
    except SettingsError as error:
        raise ImproperlyConfigured(
            f"{error} Change it in {NAME} of the Django settings, in everylayer.configure() "
            "or in the environment."
        ) from error


def current() -> Settings:
    """Return the settings in force."""
    return _current or load()
