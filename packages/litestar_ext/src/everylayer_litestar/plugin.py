"""The one line that users add."""

from __future__ import annotations

from typing import Any

from litestar.config.app import AppConfig
from litestar.plugins import InitPlugin

from everylayer.settings import resolve

from . import patches
from .seams import Covered


class EveryLayerPlugin(Covered, InitPlugin):
    """Puts every error of every layer of a Litestar app on the request's span.

    `Litestar(..., plugins=[EveryLayerPlugin()])` covers the app, whatever its middleware is and in
    whatever order its plugins stand.

    Args:
        **settings: fields of `everylayer.Settings`, over `configure()` and `EVERYLAYER_*`.

    Raises:
        SettingsError: for an unknown setting or a value that does not fit.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(resolve(settings))
        patches.PATCHES.put(self)

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Leave the app as it is: what it needs is put in place where Litestar builds it."""
        return app_config
