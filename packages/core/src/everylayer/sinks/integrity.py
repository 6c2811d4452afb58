"""Is the trace that a request came with still the one that its errors are on?

Source: www.w3.org/TR/trace-context, section 3.2; semantics of the service level: docs/metrics.md.
"""

from __future__ import annotations

import re

from opentelemetry import trace
from opentelemetry.trace import INVALID_SPAN, Span, SpanContext

from ..layers import WORK, Layer

HEADER = "traceparent"

WHOLE = "whole"
NO_PARENT = "no_parent"
LOST_TRACE_ID = "lost_trace_id"
LOST_SAMPLING = "lost_sampling_flag"
STATES = (WHOLE, NO_PARENT, LOST_TRACE_ID, LOST_SAMPLING)

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


def state_of(span: Span | None, traceparent: str) -> str:
    """Return what became of the trace that `traceparent` names, on the span of its request.

    Args:
        span: the request's, None where there is none.
        traceparent: as it came; what is no trace context promised nothing that could be lost.
    """
    found = _PARENT.fullmatch(traceparent.strip())
    if found is None or found[1] == "ff" or (found[1] == "00" and found[5]):
        return WHOLE
    trace_id, parent_id, sampled = int(found[2], 16), int(found[3], 16), int(found[4], 16) & 1
    if not (trace_id and parent_id):
        return WHOLE
    context = trace.INVALID_SPAN_CONTEXT if span is None else span.get_span_context()
    recorded = hasattr(span, "parent")
    if context.trace_id != trace_id:
        if any(link.context.trace_id == trace_id for link in getattr(span, "links", ())):
            return WHOLE  # A trace of its own, on purpose.
        rootless = recorded and getattr(span, "parent", None) is None
        return NO_PARENT if rootless else LOST_TRACE_ID
    if recorded and getattr(span, "parent", None) is None:
        return NO_PARENT
    return LOST_SAMPLING if sampled and not context.trace_flags.sampled else WHOLE


def torn(span: Span | None, layer: Layer | None) -> str:
    """Return what a layer has lost on the way in: it runs under another trace than its request.

    Args:
        span: the request's.
        layer: where an error has just been seen. Work that was handed on may be told of anywhere.
    """
    current = trace.get_current_span()
    if current is span or current is INVALID_SPAN or span is None:
        return ""
    if layer is not None and layer.kind == WORK:
        return ""
    return _lost(span.get_span_context(), current.get_span_context())


def _lost(outer: SpanContext, inner: SpanContext) -> str:
    if not (outer.is_valid and inner.is_valid):
        return ""
    if outer.trace_id != inner.trace_id:
        return LOST_TRACE_ID
    return LOST_SAMPLING if outer.trace_flags.sampled and not inner.trace_flags.sampled else ""
