"""The spans that an app ended, kept in memory in place of every exporter."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor

from ..text import clean
from .model import SpanData, SpanEvent


class Store(SpanProcessor):
    """A span processor that keeps what ends; one serves every provider of the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # A span comes once for each provider that has this processor, and counts once.
        self._spans: dict[tuple[str, str], SpanData] = {}

    def on_end(self, span: ReadableSpan) -> None:
        kept = span_data(span)
        with self._lock:
            self._spans.setdefault((kept.trace_id, kept.span_id), kept)

    def reset(self) -> None:
        """Forget all spans."""
        with self._lock:
            self._spans.clear()

    def mark(self) -> int:
        """Return where the next span will stand, for `spans`."""
        with self._lock:
            return len(self._spans)

    def spans(self, trace_id: str = "", since: int = 0) -> tuple[SpanData, ...]:
        """Return the spans in the order of their ends.

        Args:
            trace_id: hexadecimal; "" for those of every trace.
            since: a `mark`.
        """
        with self._lock:
            found = list(self._spans.values())[since:]
        return tuple(span for span in found if trace_id in ("", span.trace_id))


def span_data(span: ReadableSpan) -> SpanData:
    """Return what an exporter would have been given of `span`."""
    context = span.context
    return SpanData(
        name=clean(span.name),
        trace_id=f"{context.trace_id:032x}" if context else "",
        span_id=f"{context.span_id:016x}" if context else "",
        parent_id=f"{span.parent.span_id:016x}" if span.parent else "",
        kind=span.kind.name,
        start=span.start_time or 0,
        end=span.end_time or 0,
        status=span.status.status_code.name,
        description=clean(span.status.description or ""),
        attributes=_attributes(span.attributes),
        events=tuple(_event(event) for event in span.events),
    )


def _event(event: Event) -> SpanEvent:
    return SpanEvent(clean(event.name), event.timestamp, _attributes(event.attributes))


def _attributes(given: Any) -> dict[str, Any]:
    return {clean(str(key)): _plain(value) for key, value in (given or {}).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Sequence):
        return [_plain(item) for item in value]
    return value
