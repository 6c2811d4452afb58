"""The exception as a log event, where OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN asks for it.

Source: semantic-conventions docs/exceptions/exceptions-logs.md, docs/http/http-exceptions.md,
docs/rpc/rpc-exceptions.md.
"""

from __future__ import annotations

from opentelemetry._logs import LogRecord, SeverityNumber, get_logger
from opentelemetry.trace import Span, SpanKind, set_span_in_context

from ..error_record import ErrorRecord
from . import attributes

HTTP_EVENT = "http.server.request.exception"
RPC_EVENT = "rpc.server.call.exception"
EVENT = "exception"

_RPC = ("rpc.system", "rpc.system.name")  # The second is what later conventions call it.


def write(span: Span, record: ErrorRecord) -> None:
    """Emit `record` as a log event of `span`'s trace.

    The exception object is left out on purpose: the SDK would format it again, and raise
    where its `__str__` does.
    """
    severity = SeverityNumber.WARN if record.handled else SeverityNumber.ERROR
    get_logger("everylayer").emit(
        LogRecord(
            timestamp=record.time_ns,
            context=set_span_in_context(span),
            severity_number=severity,
            severity_text=severity.name,
            attributes=attributes.of(record),
            event_name=_name_for(span),
        )
    )


def _name_for(span: Span) -> str:
    if getattr(span, "kind", None) is not SpanKind.SERVER:
        return EVENT
    told = getattr(span, "attributes", None) or {}
    return RPC_EVENT if any(name in told for name in _RPC) else HTTP_EVENT
