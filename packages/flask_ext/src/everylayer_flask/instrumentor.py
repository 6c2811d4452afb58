"""Every Flask app of the process, without code: loaded by `opentelemetry-instrument`.

| target | why | undone by |
|---|---|---|
| `flask.Flask.__init__` | apps made later, by whatever name | the function it was |
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Collection, Mapping
from typing import Any

from flask.app import Flask

from everylayer.failsafe import contained
from everylayer.instrumentor import Instrumentor
from everylayer.settings import resolve

from . import patches
from .extension import NAME

_adopted: weakref.WeakSet[Flask] = weakref.WeakSet()


class EveryLayerFlaskInstrumentor(Instrumentor):
    """Puts the seams on every Flask app that is created from now on.

    Before or after stock's instrumentor, which puts a subclass in the place of `flask.Flask`:
    the class that both derive from is what is patched.
    """

    _original: Callable[..., None] | None = None

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return the Flask versions that the seams fit."""
        return ("flask >= 2.3",)

    def switch_on(self, settings: Mapping[str, Any]) -> None:
        """Watch for apps."""
        resolve(settings)
        self._original = Flask.__init__
        self._replace(_adopting(Flask.__init__, settings))

    def switch_off(self) -> None:
        """Let go of the apps, and watch no more."""
        if self._original is not None:
            self._replace(self._original)
            self._original = None
        for app in list(_adopted):
            # One that holds the line keeps what it asked for.
            if NAME not in app.extensions:
                patches.release(app)
        _adopted.clear()

    def _replace(self, init: Callable[..., None]) -> None:
        Flask.__init__ = init  # type: ignore[method-assign]


def _adopting(original: Callable[..., None], settings: Mapping[str, Any]) -> Callable[..., None]:
    @functools.wraps(original)
    def __init__(app: Flask, *args: Any, **about: Any) -> None:
        original(app, *args, **about)
        _adopt(app, settings)

    return __init__


@contained
def _adopt(app: Flask, settings: Mapping[str, Any]) -> None:
    rules = resolve(settings)
    if rules.enabled:
        patches.adopt(app, rules)
        _adopted.add(app)


def post_instrument() -> None:
    """Do nothing: the class that is patched is one that stock leaves in place."""
