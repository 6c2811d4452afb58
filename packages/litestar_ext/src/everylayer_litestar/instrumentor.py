"""Every Litestar app of the process, without a line of code."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from weakref import WeakSet

from everylayer.instrumentor import Instrumentor
from everylayer.settings import Settings, resolve

from . import patches
from .plugin import EveryLayerPlugin
from .seams import Covered


class EveryLayerLitestarInstrumentor(Instrumentor):
    """Covers each app that the process makes from then on, and lets go of them again.

    An app that brings `EveryLayerPlugin` keeps the settings that it was given there.
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return the Litestar versions that the seams fit."""
        return ("litestar >= 2.15",)

    def switch_on(self, settings: Mapping[str, Any]) -> None:
        """Give the plugin to the apps to come."""
        resolve(settings)
        self._given: WeakSet[Covered] = WeakSet()
        self._giving = patches.giving(lambda: EveryLayerPlugin(**settings), self._given)
        self._giving.put()

    def switch_off(self) -> None:
        """Take it back, from the apps that were given it too."""
        self._giving.undo()
        for plugin in self._given:
            plugin.settings = Settings(enabled=False)
            while plugin.undo:
                plugin.undo.pop()()
            patches.PATCHES.let_go(plugin)
