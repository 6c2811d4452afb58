"""The trace that a request belongs to, also where its span has not begun."""

from __future__ import annotations

import re
from types import FrameType
from typing import Any, NamedTuple

from opentelemetry.trace import Span, format_span_id, format_trace_id

from ..running.spans import outwards

# Source: w3.org/TR/trace-context, version 00; later ones begin alike.
_TRACEPARENT = re.compile(r"\s*[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-|\s*$)")
_NO_TRACE = "0" * 32


class Origin(NamedTuple):
    """Where a request comes from: the current span, or the one that its headers name."""

    trace_id: str
    span_id: str
    sampled: bool


def origin(span: Span, frame: FrameType | None) -> Origin | None:
    """Return what `span` says; if it is none, what the headers say of the request in `frame`."""
    context = span.get_span_context()
    if context.is_valid:
        return Origin(
            format_trace_id(context.trace_id),
            format_span_id(context.span_id),
            context.trace_flags.sampled,
        )
    for each in outwards(frame):
        found = from_header(_traceparent(each.f_locals))
        if found is not None:
            return found
    return None


def from_header(value: str) -> Origin | None:
    """Return what a `traceparent` says, None for one that is not valid."""
    match = _TRACEPARENT.match(value)
    if match is None or match[1] == _NO_TRACE:
        return None
    return Origin(match[1], match[2], bool(int(match[3], 16) & 1))


def _traceparent(held: Any) -> str:
    environ = held.get("environ")
    if type(environ) is dict:
        return str(environ.get("HTTP_TRACEPARENT", ""))
    scope = held.get("scope")
    if type(scope) is dict:
        for name, value in scope.get("headers", ()):
            if bytes(name).lower() == b"traceparent":
                return bytes(value).decode("latin-1")
    return ""
