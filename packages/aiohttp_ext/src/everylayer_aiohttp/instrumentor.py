"""Every application of the process, without a line of code."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import wraps
from typing import Any

from aiohttp.web_app import Application

from everylayer.instrumentor import Instrumentor
from everylayer.settings import Settings, resolve

from . import patches
from .outermost import EQUIPPED, equip


class EveryLayerAiohttpInstrumentor(Instrumentor):
    """Covers each application that is made from now on, before or after stock's instrumentor.

    Stock puts a subclass in the place of `web.Application`: what that derives from is patched.
    """

    _original: Callable[..., None] | None = None

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return the versions of aiohttp that the seams fit."""
        return ("aiohttp >= 3.11",)

    def switch_on(self, settings: Mapping[str, Any]) -> None:
        """Watch for applications."""
        rules, original = resolve(settings), Application.__init__

        @wraps(original)
        def __init__(app: Application, *args: Any, **kwargs: Any) -> None:
            original(app, *args, **kwargs)
            equip(app, rules)

        self._original = original
        Application.__init__ = __init__  # type: ignore[method-assign]

    def switch_off(self) -> None:
        """Watch no more, and let go of every application without a line of its own."""
        if self._original is not None:
            Application.__init__ = self._original  # type: ignore[method-assign]
        for layer in EQUIPPED:
            if not layer.explicit:
                layer.rules = Settings(enabled=False)
        if not any(layer.rules.enabled for layer in EQUIPPED):
            patches.remove()
