"""What the app's layers raise and handle by themselves, where the monitor is on."""

from __future__ import annotations

from types import FrameType
from typing import Any

from everylayer import monitor
from everylayer.asgi import SCOPE_KEY
from everylayer.layers import Layer
from everylayer.ledger import Ledger
from everylayer.observer import observe
from everylayer.sighting import SWALLOWED

from .naming import client_status
from .outermost import OUTERMOST
from .seams import Claim


def watch(made: Any, claim: Claim) -> None:
    """Have what `made`, a layer that `claim` knows, handles by itself shown to its requests."""
    layer = claim.layers.named(made)
    if layer is None or not monitor.wanted(claim.settings):
        return
    for part in (made, getattr(made, "dispatch_func", None)):
        monitor.watch(claim.layers, layer, monitor.codes_of_layer(part), _show)


def _show(exc: BaseException, layer: Layer, frame: FrameType) -> None:
    observe(exc, layer, SWALLOWED, ledger=_ledger_of(frame), client_status=client_status(exc))


def _ledger_of(frame: FrameType | None) -> Ledger | None:
    """Return the request's ledger, from the nearest frame outwards that holds its scope."""
    while frame is not None:
        held = frame.f_locals
        if frame.f_code in OUTERMOST:
            outermost: Ledger | None = held.get("ledger")
            return outermost
        scope = held.get("scope") or getattr(held.get("request"), "scope", None)
        found = scope.get(SCOPE_KEY) if isinstance(scope, dict) else None
        if isinstance(found, Ledger):
            return found
        frame = frame.f_back
    return None
