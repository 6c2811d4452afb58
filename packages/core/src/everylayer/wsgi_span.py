"""The span that OpenTelemetry's WSGI instrumentation keeps open while a body is sent."""

from __future__ import annotations

from opentelemetry.trace import Span

from . import spans
from .chain import traceback_of
from .failsafe import contained
from .ledger import Ledger

_MODULE = "opentelemetry.instrumentation.wsgi"
_GENERATOR = "_end_span_after_iterating"


@contained
def bind_left(ledger: Ledger, exc: BaseException) -> None:
    """Bind the server span that `exc` has left behind on its way out of a body.

    It is not the current one while the body is closed, and is never ended if that fails.
    """
    tb = traceback_of(exc)
    while tb is not None:
        frame = tb.tb_frame
        if frame.f_code.co_name == _GENERATOR and frame.f_globals.get("__name__") == _MODULE:
            span = frame.f_locals.get("span")
            # An exception that is raised again may have passed another request before.
            if isinstance(span, Span) and _began_in(span, ledger) and spans.is_server(span):
                ledger.bind(span, inside=True)
                return
        tb = tb.tb_next


def _began_in(span: Span, ledger: Ledger) -> bool:
    return (getattr(span, "start_time", None) or 0) >= ledger.start_ns
