"""Every Flask app of the process, without code: loaded by `opentelemetry-instrument`.

| target | why | undone by |
|---|---|---|
| `flask.Flask.__init__` | apps made later, by whatever name their class was imported | the function it was |
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import weakref
from collections.abc import Callable, Collection
from os import environ
from typing import Any

from flask.app import Flask
from opentelemetry.instrumentation.environment_variables import (
    OTEL_PYTHON_DISABLED_INSTRUMENTATIONS,
)
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from everylayer.failsafe import contained
from everylayer.settings import Settings, SettingsError, resolve

from . import patches
from .extension import EveryLayer

_NAME = "everylayer_flask"
_logger = logging.getLogger("everylayer.flask")


class EveryLayerFlaskInstrumentor(BaseInstrumentor):
    """Puts the seams on every Flask app that is created from now on.

    Before or after stock's instrumentor, which puts a subclass in the place of `flask.Flask`:
    the class that both derive from is what is patched.
    """

    _original: Callable[..., None] | None = None
    _adopted: weakref.WeakSet[Flask] = weakref.WeakSet()

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return what must be installed."""
        return ("flask >= 2.3",)

    def _instrument(self, **kwargs: Any) -> None:
        names = {f.name for f in dataclasses.fields(Settings)}
        settings = {name: value for name, value in kwargs.items() if name in names}
        try:
            resolve(settings)
        except SettingsError as error:
            if "raise_exception_on_conflict" not in kwargs:
                raise
            # Called by `opentelemetry-instrument`: raising would cost the app all of its telemetry.
            _logger.error("everylayer stays off: %s", error)
            return
        adopted = self._adopted
        original = Flask.__init__

        @functools.wraps(original)
        def __init__(app: Flask, *args: Any, **about: Any) -> None:
            original(app, *args, **about)
            if _adopt(app, settings):
                adopted.add(app)

        self._original = original
        Flask.__init__ = __init__  # type: ignore[method-assign]

    def _uninstrument(self, **kwargs: Any) -> None:
        if self._original is not None:
            Flask.__init__ = self._original  # type: ignore[method-assign]
            self._original = None
        for app in list(self._adopted):
            patches.release(app)
        self._adopted.clear()


@contained
def _adopt(app: Flask, settings: dict[str, Any]) -> bool:
    EveryLayer(app, **settings)
    return True


def post_instrument() -> None:
    """Make sure, after all instrumentors, that apps made from now on are covered."""
    disabled = environ.get(OTEL_PYTHON_DISABLED_INSTRUMENTATIONS, "").split(",")
    if not {_NAME, "*"} & {name.strip() for name in disabled}:
        _instrument_once()


@contained
def _instrument_once() -> None:
    instrumentor = EveryLayerFlaskInstrumentor()
    if not instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.instrument(raise_exception_on_conflict=False)
