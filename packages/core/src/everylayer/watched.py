"""What an ASGI app's layers raise and handle by themselves, where the monitor is on."""

from __future__ import annotations

from collections.abc import Callable, Container
from types import CodeType, FrameType
from typing import Any

from . import monitor
from .asgi import SCOPE_KEY
from .layers import Layer, LayerMap
from .ledger import Ledger
from .observer import observe
from .settings import Settings
from .sighting import SWALLOWED


def ledger_of(
    frame: FrameType | None, outermost: Container[CodeType] = frozenset()
) -> Ledger | None:
    """Return the request's ledger, from the nearest frame outwards that holds its scope.

    Args:
        frame: of a layer.
        outermost: codes of seams, which hold the ledger itself.
    """
    while frame is not None:
        held = frame.f_locals
        if frame.f_code in outermost:
            kept: Ledger | None = held.get("ledger")
            return kept
        scope = held.get("scope") or getattr(held.get("request"), "scope", None)
        found = scope.get(SCOPE_KEY) if isinstance(scope, dict) else None
        if isinstance(found, Ledger):
            return found
        frame = frame.f_back
    return None


class WatchedLayers(LayerMap):
    """Has the layers that it learns watched, where the settings ask for it.

    Args:
        settings: the rules in force.
        client_status: status below 500 that the framework gives an exception.
    """

    __slots__ = ("_client_status", "_wanted")

    def __init__(
        self, settings: Settings, client_status: Callable[[BaseException], int | None]
    ) -> None:
        super().__init__()
        self._wanted = monitor.wanted(settings)
        self._client_status = client_status

    def learn(self, layer: Layer, target: Any) -> None:
        """Make frames of `target` count as `layer`, and watch them."""
        super().learn(layer, target)
        if self._wanted:
            client_status = self._client_status

            def show(exc: BaseException, layer: Layer, frame: FrameType) -> None:
                ledger = ledger_of(frame)
                if ledger is not None:
                    status = client_status(exc)
                    observe(exc, layer, SWALLOWED, ledger=ledger, client_status=status)

            monitor.watch(self, layer, monitor.codes_of_layer(target), show)

    def leave(self) -> None:
        """Watch them no more."""
        monitor.leave(self)
