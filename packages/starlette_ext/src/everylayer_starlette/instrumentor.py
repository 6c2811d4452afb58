"""Every Starlette and FastAPI app of the process, without a line of code."""

from __future__ import annotations

import logging
import sys
from collections.abc import Collection
from typing import Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from everylayer.failsafe import contained
from everylayer.settings import SettingsError, resolve

from . import patches

_logger = logging.getLogger("everylayer")

# What `opentelemetry-instrument` passes, and nothing else.
_LOADERS = frozenset({"skip_dep_check", "raise_exception_on_conflict"})
# What every instrumentor is given; the global providers are the ones that we use.
_COMMON = frozenset({"tracer_provider", "meter_provider", "logger_provider"})


class EveryLayerStarletteInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Covers each app of the process, those made before included, and lets go of them again.

    Keyword arguments of `instrument` are settings; an app that holds `EveryLayerMiddleware` keeps
    those that it was given there.
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return the Starlette versions that the seams fit."""
        return ("starlette >= 0.37",)

    def instrument(self, **kwargs: Any) -> None:
        """Switch everylayer on for every Starlette and FastAPI app of the process.

        Raises:
            SettingsError: for a setting that cannot be used. Under `opentelemetry-instrument` it
                is logged instead: raising would cost the app all of its telemetry.
        """
        try:
            super().instrument(**kwargs)
        except SettingsError as error:
            if not kwargs or not kwargs.keys() <= _LOADERS:
                raise
            _logger.error("everylayer stays off: %s", error)

    def _instrument(self, **kwargs: Any) -> None:
        settings = {name: value for name, value in kwargs.items() if name not in _COMMON}
        patches.claim_everything(resolve(settings))
        patches.install()

    def _uninstrument(self, **kwargs: Any) -> None:
        patches.claim_nothing()
        # Apps that hold the middleware, or may come to hold it, still need the seams.
        if f"{__package__}.middleware" not in sys.modules:
            patches.remove()


@contained
def post_instrument() -> None:
    """Cover the classes that stock has made since: `opentelemetry-instrument` keeps no order."""
    if EveryLayerStarletteInstrumentor().is_instrumented_by_opentelemetry:
        patches.install()
