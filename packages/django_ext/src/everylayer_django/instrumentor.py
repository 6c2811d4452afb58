"""Every Django app of the process, without a line in its settings."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from everylayer.failsafe import contained
from everylayer.instrumentor import Instrumentor

from . import config, patches


class EveryLayerDjangoInstrumentor(Instrumentor):
    """Switches everylayer on, and off again without a trace.

    Its settings win over `EVERYLAYER` of the Django settings.
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return the Django versions that the seams fit."""
        return ("django >= 4.2",)

    def switch_on(self, settings: Mapping[str, Any]) -> None:
        """Put the seams in place."""
        config.give(dict(settings))
        patches.install()

    def switch_off(self) -> None:
        """Put back what was there."""
        patches.uninstall()
        config.give({})


@contained
def post_instrument() -> None:
    """Complete what was instrumented before stock: `opentelemetry-instrument` keeps no order."""
    if EveryLayerDjangoInstrumentor().is_instrumented_by_opentelemetry:
        patches.install()
