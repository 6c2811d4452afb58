"""The exception event on a span, and what an error makes of the span itself.

Source: semantic-conventions docs/exceptions/exceptions-spans.md, docs/general/recording-errors.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.trace import Span, SpanContext, Status, StatusCode

from .. import text
from ..error_record import ErrorRecord
from . import attributes

EVENT = "exception"


def write(span: Span, record: ErrorRecord, extra: Mapping[str, Any] | None) -> None:
    """Add the event of `record`, with the app's own attributes over ours."""
    values: dict[str, Any] = attributes.of(record)
    if extra:
        values.update(extra)
    span.add_event(EVENT, values, timestamp=record.time_ns)


def fail(span: Span, record: ErrorRecord, max_description_chars: int) -> None:
    """Mark `span` as failed by `record`."""
    description = text.shorten(record.description, max_description_chars)
    type(span).set_status(span, Status(StatusCode.ERROR, description))
    span.set_attributes(attributes.of_failure(record))


def link(span: Span, record: ErrorRecord) -> None:
    """Link `span` to the one that another service put the error on, if it told which."""
    origin = record.upstream.context.origin if record.upstream is not None else None
    if origin is None or not (origin.trace_id and origin.span_id):
        return
    context = SpanContext(int(origin.trace_id, 16), int(origin.span_id, 16), is_remote=True)
    span.add_link(context, {attributes.LINK: "upstream"})
