"""Every Starlette and FastAPI app of the process, without a line of code."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from typing import Any

from everylayer.failsafe import contained
from everylayer.instrumentor import Instrumentor
from everylayer.settings import resolve

from . import patches


class EveryLayerStarletteInstrumentor(Instrumentor):
    """Covers each app of the process, those made before included, and lets go of them again.

    An app that holds `EveryLayerMiddleware` keeps the settings that it was given there.
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return the Starlette versions that the seams fit."""
        return ("starlette >= 0.37",)

    def switch_on(self, settings: Mapping[str, Any]) -> None:
        """Put the seams in place."""
        patches.claim_everything(resolve(settings))
        patches.install()

    def switch_off(self) -> None:
        """Let go of every app that does not hold the middleware."""
        patches.claim_nothing()
        # Apps that hold the middleware, or may come to hold it, still need the seams.
        if f"{__package__}.middleware" not in sys.modules:
            patches.remove()


@contained
def post_instrument() -> None:
    """Cover the classes that stock has made since: `opentelemetry-instrument` keeps no order."""
    if EveryLayerStarletteInstrumentor().is_instrumented_by_opentelemetry:
        patches.install()
