"""The ids of a trace on log records."""

from __future__ import annotations

import logging

from opentelemetry import trace
from opentelemetry.trace import format_span_id, format_trace_id

from . import origin
from .failsafe import contained


class TraceFilter(logging.Filter):
    """Puts `trace_id`, `span_id`, `error_layer` and `error_time_ns` on each record.

    They are those of the exception that is logged, else of the current span; empty, and 0, where
    there is neither, so that a format that names them always works. What a record has already
    (`extra={"trace_id": ...}`) stays.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Complete `record`; it is let through."""
        if logging.Filter.filter(self, record):
            state = vars(record)
            found = _origin_of(record) or _current() or _NOWHERE
            state.setdefault("trace_id", found.trace_id)
            state.setdefault("span_id", found.span_id)
            state.setdefault("error_layer", found.layer)
            state.setdefault("error_time_ns", found.time_ns)
            return True
        return False


_NOWHERE = origin.ErrorOrigin("", "", "", 0)


@contained
def _origin_of(record: logging.LogRecord) -> origin.ErrorOrigin | None:
    exc = record.exc_info[1] if record.exc_info else None
    return origin.trace_of(exc) if exc is not None else None


@contained
def _current() -> origin.ErrorOrigin | None:
    own = trace.get_current_span().get_span_context()
    if not own.is_valid:
        return None
    return origin.ErrorOrigin(format_trace_id(own.trace_id), format_span_id(own.span_id), "", 0)
