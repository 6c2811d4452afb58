"""What the app's layers raise and handle by themselves, where the monitor is on."""

from __future__ import annotations

from types import FrameType
from typing import Any

from everylayer import monitor
from everylayer.layers import Layer
from everylayer.observer import observe
from everylayer.sighting import SWALLOWED
from everylayer.watched import ledger_of

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
    ledger = ledger_of(frame, OUTERMOST)
    observe(exc, layer, SWALLOWED, ledger=ledger, client_status=client_status(exc))
