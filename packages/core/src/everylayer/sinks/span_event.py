"""The exception event on a span, and what an error makes of the span itself.

Source: semantic-conventions docs/exceptions/exceptions-spans.md, docs/general/recording-errors.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.trace import Span, Status, StatusCode

from .. import text
from ..record import ErrorRecord
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
    span.set_attributes(
        {attributes.ERROR_TYPE: record.type, attributes.LAYER_NAME: record.layer.name}
    )
