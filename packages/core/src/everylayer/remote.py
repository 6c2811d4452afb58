"""An error that another service has sent: on the span that received it, linked to its own."""

from __future__ import annotations

from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Span

from . import settings, signals, spans, text
from .error_record import ErrorRecord
from .failsafe import contained
from .record_json import Received
from .redaction.guard import redactor_of
from .settings import Settings
from .sinks import log_event, span_event

REMOTE = "everylayer.remote"
ORIGIN_TRACE = "everylayer.origin.trace_id"
ORIGIN_SPAN = "everylayer.origin.span_id"


@contained
def record_remote(received: Received, handled: bool = True) -> None:
    """Record an error that was received on the current span, with a link to the span it was on.

    Where no span is current, one is made for it.

    Args:
        received: what `error_from_json` returned.
        handled: True keeps the span's status, False makes it ERROR.
    """
    rules = settings.current()
    if not rules.enabled:
        return
    span = trace.get_current_span()
    record = _checked(received.record, rules)._replace(handled=handled)
    if spans.recording(span):
        _write(span, record, received, rules)
        return
    with trace.get_tracer("everylayer").start_as_current_span(
        f"{record.layer.name} (received)", record_exception=False, set_status_on_exception=False
    ) as made:
        _write(made, record, received, rules)


def _write(span: Span, record: ErrorRecord, received: Received, rules: Settings) -> None:
    extra: dict[str, Any] = {REMOTE: True}
    origin = received.origin
    if origin is not None:
        extra[ORIGIN_TRACE] = trace.format_trace_id(origin.trace_id)
        extra[ORIGIN_SPAN] = trace.format_span_id(origin.span_id)
        span.add_link(origin, {REMOTE: True})
    to_spans, to_logs = signals.wanted()
    if to_spans:
        span_event.write(span, record, extra)
    if to_logs:
        log_event.write(span, record)
    if not record.handled:
        spans.fail(span, record, rules)


def _checked(record: ErrorRecord, rules: Settings) -> ErrorRecord:
    """Return what this process's own rules leave of a text that somebody else wrote."""
    redactor = redactor_of(rules.redaction)

    def bounded(value: str, limit: int) -> str:
        if redactor is None:
            return text.cut(value, limit)
        kept, left_out = redactor.bounded(value, limit)
        return text.cut(kept, limit, left_out)

    return record._replace(
        message=bounded(record.message, rules.max_message_bytes),
        stacktrace=bounded(record.stacktrace, rules.max_stack_bytes),
        variables=bounded(record.variables, rules.max_stack_bytes),
        upstream=record.upstream.redacted(redactor) if record.upstream is not None else None,
        causes=tuple(
            cause._replace(message=bounded(cause.message, rules.max_message_bytes))
            for cause in record.causes
        ),
    )
