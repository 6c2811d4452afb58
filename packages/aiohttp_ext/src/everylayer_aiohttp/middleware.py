"""The one line that users add."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from aiohttp import web

from everylayer.awaited import Outermost
from everylayer.settings import Settings, resolve

from . import patches
from .chain import prepare
from .exchange import Exchange


class EveryLayer(Outermost):
    """The outermost middleware of an application."""

    __middleware_version__ = 1

    async def go_first(self, app: web.Application) -> None:
        """Move to the front, now that the chain is complete."""
        if not app.middlewares.frozen:
            app.middlewares.remove(self)
            app.middlewares.insert(0, self)


# On every application that is still there.
EQUIPPED: WeakSet[EveryLayer] = WeakSet()


def setup(app: web.Application, **settings: Any) -> None:
    """Put every error of every layer of `app`, and of its sub-apps, on its request's span.

    Call it at any moment before the app runs, or is added to another one.

    Args:
        app: the application.
        **settings: fields of `everylayer.Settings`, over `configure()` and `EVERYLAYER_*`.

    Raises:
        SettingsError: for an unknown setting or a value that does not fit.
    """
    layer = equip(app, rules := resolve(settings))
    layer.explicit = True
    layer.obey(rules)


def equip(app: web.Application, rules: Settings) -> EveryLayer:
    """Return the outermost middleware of `app`, which gets one unless it has."""
    for layer in app.middlewares:
        if isinstance(layer, EveryLayer):
            return layer
    made = EveryLayer(Exchange, rules, prepare)
    app.middlewares.insert(0, made)
    app.on_startup.append(made.go_first)
    EQUIPPED.add(made)
    patches.put()
    return made
