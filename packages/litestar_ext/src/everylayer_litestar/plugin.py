"""The one line that users add."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from litestar.config.app import AppConfig
from litestar.plugins import InitPlugin

from everylayer.settings import Settings, resolve

from . import patches
from .naming import AppLayers, client_status


class EveryLayerPlugin(InitPlugin):
    """Puts every error of every layer of a Litestar app on the request's span.

    `Litestar(..., plugins=[EveryLayerPlugin()])` covers the app, whatever its middleware is and in
    whatever order its plugins stand.

    Args:
        **settings: fields of `everylayer.Settings`, over `configure()` and `EVERYLAYER_*`.

    Raises:
        SettingsError: for an unknown setting or a value that does not fit.
    """

    def __init__(self, **settings: Any) -> None:
        # What is kept here is for the seams of the app.
        self.settings: Settings = resolve(settings)
        self.layers: AppLayers = AppLayers(self.settings, client_status)
        # A layer of the app starts a server span.
        self.starts_inside = False
        # Take back what was changed within the app.
        self.undo: list[Callable[[], None]] = []
        patches.PATCHES.put()

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Leave the app as it is: what it needs is put in place where Litestar builds it."""
        return app_config
