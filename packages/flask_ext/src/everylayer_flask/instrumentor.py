"""Every Flask app of the process, without code: loaded by `opentelemetry-instrument`.

| target | why | undone by |
|---|---|---|
| `flask.Flask.__init__` | apps made later, by whatever name | the function it was |
"""

from __future__ import annotations

import weakref
from collections.abc import Collection

from flask.app import Flask

from everylayer.instrumentor import NewAppsInstrumentor
from everylayer.settings import Settings

from . import patches
from .extension import NAME

_adopted: weakref.WeakSet[Flask] = weakref.WeakSet()


class EveryLayerFlaskInstrumentor(NewAppsInstrumentor):
    """Puts the seams on every Flask app that is created from now on."""

    app_class = Flask

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return the Flask versions that the seams fit."""
        return ("flask >= 2.3",)

    def cover(self, app: Flask, rules: Settings) -> None:
        """Put the seams on `app`."""
        patches.adopt(app, rules)
        _adopted.add(app)

    def switch_off(self) -> None:
        """Let go of the apps, and watch no more."""
        super().switch_off()
        for app in list(_adopted):
            # One that holds the line keeps what it asked for.
            if NAME not in app.extensions:
                patches.release(app)
        _adopted.clear()


def post_instrument() -> None:
    """Do nothing: the class that is patched is one that stock leaves in place."""
