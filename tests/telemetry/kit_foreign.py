"""Spans of another make: all of the API and nothing of the SDK."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Span, SpanContext, SpanKind, TraceFlags


class ForeignSpan(Span):
    """What the API demands of a span, and the `kind` that stock's ASGI layer asks for."""

    def __init__(self, number: int, kind: SpanKind) -> None:
        self.kind = kind
        self._context = SpanContext(number, number, False, TraceFlags(TraceFlags.SAMPLED))
        self._over = False
        self._messages: list[str] = []

    def messages(self) -> list[str]:
        """Return the messages of the exception events."""
        return self._messages

    def end(self, end_time: int | None = None) -> None:
        self._over = True

    def get_span_context(self) -> SpanContext:
        return self._context

    def is_recording(self) -> bool:
        return not self._over

    def add_event(
        self, name: str, attributes: Mapping[str, Any] | None = None, timestamp: int | None = None
    ) -> None:
        self._messages.append(str((attributes or {}).get("exception.message")))

    def record_exception(self, exception: BaseException, *args: Any, **kwargs: Any) -> None:
        self._messages.append(str(exception))

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Keep nothing."""

    def set_attribute(self, key: str, value: Any) -> None:
        """Keep nothing."""

    def update_name(self, name: str) -> None:
        """Keep nothing."""

    def set_status(self, status: Any, description: str | None = None) -> None:
        """Keep nothing."""


class ForeignTracer(trace.Tracer):
    """Makes such spans and tells of each."""

    def __init__(self, made: Callable[[ForeignSpan], object]) -> None:
        self._made = made
        self._count = 0

    def start_span(  # type: ignore[override]
        self, name: str, context: Any = None, kind: SpanKind = SpanKind.INTERNAL, **kwargs: Any
    ) -> ForeignSpan:
        self._count += 1
        span = ForeignSpan(self._count, kind)
        self._made(span)
        return span

    @contextlib.contextmanager
    def start_as_current_span(  # type: ignore[override]
        self, name: str, context: Any = None, kind: SpanKind = SpanKind.INTERNAL, **kwargs: Any
    ) -> Iterator[Span]:
        with trace.use_span(self.start_span(name, context, kind), end_on_exit=True) as span:
            yield span


class ForeignProvider(trace.TracerProvider):
    """Gives that one tracer to everybody."""

    def __init__(self, made: Callable[[ForeignSpan], object]) -> None:
        self._tracer = ForeignTracer(made)

    def get_tracer(self, *args: Any, **kwargs: Any) -> trace.Tracer:
        return self._tracer
