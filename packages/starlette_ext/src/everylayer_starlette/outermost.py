"""The outermost seams, told by their code: each frame of one holds the request's `ledger`."""

from __future__ import annotations

import sys
from types import CodeType

from everylayer.asgi import Seam
from everylayer.ledger import Ledger

OUTERMOST: set[CodeType] = {Seam.__call__.__code__}


def ledger_below() -> Ledger | None:
    """Return the ledger of the outermost seam, which waits below: a layer made a new scope."""
    frame = sys._getframe(1)
    while (below := frame.f_back) is not None:
        frame = below
        if frame.f_code in OUTERMOST:
            found: Ledger | None = frame.f_locals.get("ledger")
            return found
    return None
