"""What crosses to another process: the span, the tenant and allowed baggage; nothing else."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import NamedTuple

from opentelemetry import baggage, context, trace
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, TraceFlags, TraceState

from .. import settings
from .baggage import allowed, read, written
from .tenant import CURRENT, checked

_HEAD = 25
_KEPT = "_everylayer_crossing"


class Origin(NamedTuple):
    """Where work that is done elsewhere belongs.

    Attributes:
        trace_id: 0 where there is no span.
        span_id: likewise.
        flags: of the trace.
        state: its tracestate as a header.
        tenant: whose request it is, empty without one.
        baggage: of the setting `baggage_keys`, as a header.
    """

    trace_id: int
    span_id: int
    flags: int = 0
    state: str = ""
    tenant: str = ""
    baggage: str = ""

    @classmethod
    def unpacked(cls, data: bytes) -> Origin:
        """Return what `here` packed."""
        state, tenant, entries = json.loads(data[_HEAD:]) if len(data) > _HEAD else ("", "", "")
        trace_id, span_id = int.from_bytes(data[:16], "big"), int.from_bytes(data[16:24], "big")
        return cls(trace_id, span_id, data[24], state, checked(tenant), entries)

    def span(self) -> Span:
        """Return a span that stands for it; it has ended, as far as this process knows."""
        return _Gone(self)


class _Gone(NonRecordingSpan):
    # What was never begun here takes no events: they go to a child of it.
    end_time = 0

    def __init__(self, origin: Origin) -> None:
        self._origin = origin

    # Made when somebody asks: not all work makes spans.
    @functools.cached_property
    def _context(self) -> SpanContext:  # type: ignore[override]
        at = self._origin
        state = TraceState.from_header([at.state]) if at.state else None
        return SpanContext(at.trace_id, at.span_id, True, TraceFlags(at.flags), state)


class Crossing:
    """What crosses of a context.

    Args:
        span: the current one.
        tenant: whose request it is, None outside of any.
        data: bytes, since they are pickled with each call: 25 of them for a span and nothing more.
            None where there is nothing to say.
    """

    # No tuple, whose names take ten times as much to read.
    __slots__ = ("data", "span", "tenant")

    def __init__(self, span: Span, tenant: str | None, data: bytes | None) -> None:
        self.span = span
        self.tenant = tenant
        self.data = data


def here() -> Crossing:
    """Return what crosses of the current context."""
    current = context.get_current()
    name = CURRENT.get()
    kept: Crossing | None = getattr(current, _KEPT, None)
    if kept is not None and kept.tenant is name:
        return kept
    span = trace.get_current_span(current)
    carried = baggage.get_all(current)
    made = Crossing(span, name, _packed(span.get_span_context(), name, carried))
    if not carried:
        # With the context itself, which has this span for good; what baggage is allowed may change.
        setattr(current, _KEPT, made)
    return made


def _packed(found: SpanContext, name: str | None, carried: Mapping[str, object]) -> bytes | None:
    state = found.trace_state
    head = b"%b%b%c" % (
        found.trace_id.to_bytes(16, "big"),
        found.span_id.to_bytes(8, "big"),
        found.trace_flags & 0xFF,
    )
    if not (name or carried or state):
        return head if found.is_valid else None
    # Asked for only here: to resolve them is dear.
    entries = written(carried, allowed(settings.current().baggage_keys)) if carried else ""
    if not (name or entries or found.is_valid):
        return None
    rest = (state.to_header() if state else "", name or "", entries)
    return head + json.dumps(rest).encode() if any(rest) else head


# A request that hands over one piece of work often hands over more.
@functools.lru_cache(maxsize=64)
def arrived(data: bytes | None) -> tuple[context.Context, str | None]:
    """Return a context with what crossed alone, and the tenant.

    Not the worker's own: a fork has that of whichever request began it.
    """
    made = context.Context()
    if data is None:
        return made, None
    origin = Origin.unpacked(data)
    if origin.trace_id:
        made = trace.set_span_in_context(origin.span(), made)
    if origin.baggage:
        # Allowed where it was packed: the two ends may have been told differently.
        for key, value in read([origin.baggage], allowed(("*",))).items():
            made = baggage.set_baggage(key, value, made)
    return made, origin.tenant or None


def enter(data: bytes | None) -> None:
    """Work for what crossed, in a copy of the caller's context that is its own to change."""
    made, tenant = arrived(data)
    context.attach(made)
    # To set a variable takes ten times as much as to read it.
    if CURRENT.get() is not tenant:
        CURRENT.set(tenant)
