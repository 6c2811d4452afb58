"""Every application of the process, without a line of code."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from aiohttp.web_app import Application

from everylayer.boundaries.patch import Patch
from everylayer.instrumentor import Instrumentor
from everylayer.settings import Settings, resolve

from . import patches
from .middleware import EQUIPPED, equip


class EveryLayerAiohttpInstrumentor(Instrumentor):
    """Covers each application made from now on: stock only puts a subclass in its place."""

    _making: Patch | None = None

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return the versions of aiohttp that the seams fit."""
        return ("aiohttp >= 3.11",)

    def switch_on(self, settings: Mapping[str, Any]) -> None:
        """Watch for applications."""
        rules = resolve(settings)

        def make(original: Any, switch: Any) -> Any:
            def __init__(app: Application, *args: Any, **kwargs: Any) -> None:
                original(app, *args, **kwargs)
                if switch.on:
                    equip(app, rules)

            return __init__

        self._making = Patch(Application, "__init__", make)
        self._making.put()

    def switch_off(self) -> None:
        """Watch no more, and let go of every application without a line of its own."""
        if self._making is not None:
            self._making.undo()
        for layer in EQUIPPED:
            if not layer.explicit:
                layer.obey(Settings(enabled=False))
        if not any(layer.explicit for layer in EQUIPPED):
            patches.undo()
