"""Every application of the process, without a line of code."""

from __future__ import annotations

from collections.abc import Collection

from aiohttp.web_app import Application

from everylayer.instrumentor import NewAppsInstrumentor
from everylayer.settings import Settings

from . import patches
from .middleware import EQUIPPED, equip


class EveryLayerAiohttpInstrumentor(NewAppsInstrumentor):
    """Covers each application made from now on."""

    app_class = Application

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return the versions of aiohttp that the seams fit."""
        return ("aiohttp >= 3.11",)

    def cover(self, app: Application, rules: Settings) -> None:
        """Put the outermost middleware on `app`."""
        equip(app, rules)

    def switch_off(self) -> None:
        """Watch no more, and let go of every application without a line of its own."""
        super().switch_off()
        for layer in EQUIPPED:
            if not layer.explicit:
                layer.obey(Settings(enabled=False))
        if not any(layer.explicit for layer in EQUIPPED):
            patches.undo()


def post_instrument() -> None:
    """Do nothing: the class that is patched is one that stock leaves in place."""
