"""The door: every seam shows here what it saw, and so may the app."""

from __future__ import annotations

from types import TracebackType

from opentelemetry import trace

from . import settings, text
from .failsafe import contained
from .layers import Layer
from .ledger import Ledger
from .loose import ledger_for

_MAX_NAME = 200


def observe(
    exc: BaseException,
    layer: Layer | None = None,
    phase: str = "",
    *,
    ledger: Ledger | None = None,
    client_status: int | None = None,
    tb: TracebackType | None = None,
) -> None:
    """Take what a seam saw. Never raises, never blocks; the same exception counts once.

    Args:
        exc: the exception that crosses, or is converted at, the seam.
        layer: the layer it came from; None lets the traceback tell. The first seam that names one
            is believed; if the ledger has a map, what that finds in the traceback goes before.
        phase: what the layer was doing, such as `process_view` or `stream`.
        ledger: the request's; None takes that of the current span.
        client_status: the status below 500 that the framework gives this exception, where it is
            an answer rather than a failure; below 400 it is not recorded.
        tb: its traceback, where the exception no longer has one.
    """
    known = ledger or _current_ledger()
    if known is not None:
        known.see(exc, tb, layer=layer, phase=phase, client_status=client_status)


@contained
def _current_ledger() -> Ledger:
    return ledger_for(trace.get_current_span(), settings.current())


@contained
def record(exc: BaseException, layer: str | None = None, handled: bool | None = None) -> None:
    """Record `exc` on the current span: for an error that the app deals with by itself.

    Args:
        exc: the exception, raised or not.
        layer: name of the part of the app that it came from.
        handled: True keeps the span's status, False makes it ERROR; None leaves it to the
            response.
    """
    ledger = ledger_for(trace.get_current_span(), settings.current())
    where = Layer(text.one_line(str(layer), _MAX_NAME), "app") if layer else None
    ledger.see(exc, layer=where, phase="record", handled=handled, explicit=True)
