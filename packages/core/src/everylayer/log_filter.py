"""The ids of a trace on log records."""

from __future__ import annotations

import logging

from opentelemetry import trace
from opentelemetry.trace import format_span_id, format_trace_id

from . import origin
from .failsafe import contained, count_failure


class TraceFilter(logging.Filter):
    """Puts `trace_id`, `span_id`, `error_layer` and `error_time_ns` on each record.

    They are those of the exception that is logged, else of the current span; empty, and 0, where
    there is neither, so that a format that names them always works. What a record has already
    (`extra={"trace_id": ...}`) stays.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Complete `record`; it is let through."""
        if self.nlen and not logging.Filter.filter(self, record):
            return False
        found = _origin_of(record.exc_info[1]) if record.exc_info else None
        trace_id, span_id, layer, time_ns = found or _current()
        state = vars(record)
        state.setdefault("trace_id", trace_id)
        state.setdefault("span_id", span_id)
        state.setdefault("error_layer", layer)
        state.setdefault("error_time_ns", time_ns)
        return True


_NOWHERE = ("", "", "", 0)


@contained
def _origin_of(exc: BaseException | None) -> origin.ErrorOrigin | None:
    return origin.trace_of(exc) if exc is not None else None


def _current() -> tuple[str, str, str, int]:
    # Not `contained`: a record is a frequent thing.
    try:
        own = trace.get_current_span().get_span_context()
        if own.is_valid:
            return format_trace_id(own.trace_id), format_span_id(own.span_id), "", 0
    except Exception:  # noqa: BLE001 - as `contained` does
        count_failure(f"{__name__}._current")
    return _NOWHERE
