"""Every gRPC server of the process, without a line of code."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from typing import Any

from everylayer.instrumentor import Instrumentor
from everylayer.settings import resolve

from . import patches


class EveryLayerGrpcInstrumentor(Instrumentor):
    """Covers each server that is made from now on.

    One that is given the interceptor keeps the settings that it was given there.
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return the gRPC versions that the seams fit."""
        return ("grpcio >= 1.60",)

    def switch_on(self, settings: Mapping[str, Any]) -> None:
        """Put the seams in place."""
        patches.claim(resolve(settings))
        patches.install()
        patches.install_client()

    def switch_off(self) -> None:
        """Cover servers no more; those that hold the interceptor still need the seams."""
        patches.claim(None)
        if f"{__package__}.interceptors" not in sys.modules:
            patches.remove()


def post_instrument() -> None:
    """Do nothing: what is patched is what stock's own functions call in the end."""
