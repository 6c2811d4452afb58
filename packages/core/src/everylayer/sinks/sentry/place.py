"""Where an error is in OpenTelemetry, as the ids that Sentry can carry."""

from __future__ import annotations

from typing import NamedTuple

from opentelemetry.trace import Span, format_span_id, format_trace_id


class Place(NamedTuple):
    """The ids of one span: lower-case hexadecimal, 32 and 16 digits.

    Attributes:
        trace_id: of its trace.
        span_id: its own.
        parent_id: of its parent, local or remote; empty at the root of a trace.
        sampled: it is exported, so that a link to it leads somewhere.
    """

    trace_id: str
    span_id: str
    parent_id: str
    sampled: bool


def of(span: Span | None) -> Place | None:
    """Return the place of `span`, None where that is no span."""
    if span is None:
        return None
    own = span.get_span_context()
    if not own.is_valid:
        return None
    parent = getattr(span, "parent", None)
    return Place(
        format_trace_id(own.trace_id),
        format_span_id(own.span_id),
        format_span_id(parent.span_id) if parent is not None and parent.span_id else "",
        bool(own.trace_flags.sampled),
    )


def url(template: str, place: Place | None = None, event_id: str = "") -> str:
    """Return the link that `template` makes for a span or an event."""
    for name, value in (
        ("{trace_id}", place.trace_id if place else ""),
        ("{span_id}", place.span_id if place else ""),
        ("{event_id}", event_id),
    ):
        template = template.replace(name, value)
    return template
