"""Every Django app of the process, without a line in its settings."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from everylayer.failsafe import contained
from everylayer.settings import SettingsError

from . import config, patches

_logger = logging.getLogger("everylayer")

# What `opentelemetry-instrument` passes, and nothing else.
_LOADERS = frozenset({"skip_dep_check", "raise_exception_on_conflict"})
# What every instrumentor is given; the global providers are the ones that we use.
_COMMON = frozenset({"tracer_provider", "meter_provider", "logger_provider"})


class EveryLayerDjangoInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Switches everylayer on, and off again without a trace.

    Keyword arguments of `instrument` are settings, over `EVERYLAYER` of the Django settings.
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return the Django versions that the seams fit."""
        return ("django >= 4.2",)

    def instrument(self, **kwargs: Any) -> None:
        """Switch everylayer on for every Django app of the process.

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
        config.give({name: value for name, value in kwargs.items() if name not in _COMMON})
        patches.install()

    def _uninstrument(self, **kwargs: Any) -> None:
        patches.uninstall()
        config.give({})


@contained
def post_instrument() -> None:
    """Complete what was instrumented before stock: `opentelemetry-instrument` keeps no order."""
    if EveryLayerDjangoInstrumentor().is_instrumented_by_opentelemetry:
        patches.install()
