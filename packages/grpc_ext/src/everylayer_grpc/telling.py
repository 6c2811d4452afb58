"""asyncio's context, whose `abort` sends the trailing metadata before anything is raised."""

from __future__ import annotations

import sys
from time import time_ns
from types import FrameType, TracebackType
from typing import Any

from grpc import aio

from everylayer import writer
from everylayer.boundaries import arrival
from everylayer.chain import drop_frame
from everylayer.failsafe import contained
from everylayer.ledger import Ledger
from everylayer.page import Page
from everylayer.sighting import Sighting

from .call import CURRENT, Call
from .codes import code_of, http_status
from .request import scope_of
from .trailing import with_context

# Between the app's frame and ours: stock's context, whose methods hand on to ours.
_WRAPPERS = ("opentelemetry.instrumentation.", "everylayer.", "everylayer_grpc.")


class TellingContext:
    """gRPC's context, for servers that tell where an error began."""

    __slots__ = ("_inner",)

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def abort(self, code: Any, details: str = "", trailing_metadata: Any = ()) -> None:
        """Abort, and tell the client where the error began."""
        call = CURRENT.get()
        try:
            if call is not None:
                given = trailing_metadata
                added = _before_abort(call, self._inner, code, details, given)
                trailing_metadata = given if added is None else added
            await self._inner.abort(code, details, trailing_metadata)
        except BaseException as exc:
            drop_frame(exc)
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@contained
def _before_abort(call: Call, context: Any, code: Any, details: str, trailing: Any) -> Any:
    known = code_of(code)
    status = 500 if known is None else http_status(known)
    if status < 500:
        return trailing
    given = tuple(trailing or ()) or tuple(context.trailing_metadata() or ())
    scope = scope_of(call.method, call.metadata, call.context)
    arrival.note(call, scope)
    ledger: Ledger = call
    if call.page is None or writer.failing(call.page, call.settings, status) is None:
        ledger = _of_abort(call, f"{getattr(code, 'name', code)}: {details}")
        arrival.note(ledger, scope)
    added = with_context(ledger, status, given)
    return trailing if added is given else added


def _of_abort(call: Call, said: str) -> Ledger:
    """Return a ledger for the abort that is about to be raised; that of the RPC waits for it."""
    ledger = Ledger(call.settings)
    ledger.span = call.span_so_far()
    ledger.page = Page()
    # Whether a client is told does not hang on what its server records.
    abort = Sighting(aio.AbortError(said), _from_here(), time_ns())
    ledger.page.add(abort, 1)
    return ledger


def _from_here() -> TracebackType | None:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and str(frame.f_globals.get("__name__")).startswith(_WRAPPERS):
        frame = frame.f_back
    return None if frame is None else TracebackType(None, frame, frame.f_lasti, frame.f_lineno)
