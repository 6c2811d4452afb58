"""A real SDK for tests: one pair of global providers a process, emptied for each test.

OpenTelemetry lets the global provider be set once only, and instrumentations keep the tracer
they were given. So the providers stay for the life of the process and what a test swaps is
their content: `reset()` empties the in-memory exporters, `fresh()` makes a provider that is
not global for the few tests that need other limits or processors.

    @pytest.fixture
    def spans() -> Iterator[Telemetry]:
        with session() as telemetry:
            yield telemetry
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from opentelemetry import _logs, context, trace
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

EVENT_NAME = "exception"
LATE_SUFFIX = " (late)"


class SpanEvent(NamedTuple):
    """An exception event and the span that carries it."""

    span: ReadableSpan
    event: Event


class Telemetry:
    """What has been exported so far: finished spans and log records."""

    __slots__ = ("_log_exporter", "_span_exporter", "logger_provider", "provider")

    def __init__(self, limits: SpanLimits | None = None) -> None:
        self._span_exporter = InMemorySpanExporter()
        self._log_exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        self.provider = TracerProvider(span_limits=limits)
        self.provider.add_span_processor(SimpleSpanProcessor(self._span_exporter))
        self.logger_provider = LoggerProvider()
        self.logger_provider.add_log_record_processor(SimpleLogRecordProcessor(self._log_exporter))

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """Finished spans in the order in which they ended."""
        return self._span_exporter.get_finished_spans()

    @property
    def logs(self) -> tuple[ReadableLogRecord, ...]:
        """Emitted log records."""
        return self._log_exporter.get_finished_logs()

    def clear(self) -> None:
        """Forget everything exported so far."""
        self._span_exporter.clear()
        self._log_exporter.clear()

    def wait(
        self, done: Callable[[Sequence[ReadableSpan]], object], seconds: float = 3.0
    ) -> tuple[ReadableSpan, ...]:
        """Return the spans once `done(spans)` holds, or after `seconds`: for work in threads."""
        deadline = time.monotonic() + seconds
        while not done(self.spans) and time.monotonic() < deadline:
            time.sleep(0.005)
        return self.spans


@functools.cache
def install() -> Telemetry:
    """Return the process-wide telemetry; its providers are the global ones."""
    made = Telemetry()
    trace.set_tracer_provider(made.provider)
    _logs.set_logger_provider(made.logger_provider)
    if trace.get_tracer_provider() is not made.provider:
        raise RuntimeError("the global TracerProvider was already set by something else")
    return made


def reset() -> Telemetry:
    """Return the process-wide telemetry, emptied."""
    telemetry = install()
    telemetry.clear()
    return telemetry


@contextlib.contextmanager
def session() -> Iterator[Telemetry]:
    """Give one test an empty telemetry and an empty context, whatever ran before it.

    A span that leaks in the thread's context would become the parent of the next request.
    """
    telemetry = reset()
    token = context.attach(context.Context())
    try:
        yield telemetry
    finally:
        context.detach(token)
        telemetry.clear()


def fresh(limits: SpanLimits | None = None) -> Telemetry:
    """Return a telemetry of its own, not global."""
    return Telemetry(limits)


def error_events(spans: Sequence[ReadableSpan]) -> list[SpanEvent]:
    """Return every exception event of `spans`, in order of span and time."""
    return [
        SpanEvent(span, event)
        for span in spans
        for event in span.events
        if event.name == EVENT_NAME
    ]


def server_spans(spans: Sequence[ReadableSpan]) -> list[ReadableSpan]:
    """Return the SERVER spans."""
    return [span for span in spans if span.kind is SpanKind.SERVER]


def server_span(spans: Sequence[ReadableSpan]) -> ReadableSpan:
    """Return the one SERVER span; fail with the trace when there is none or more than one."""
    found = server_spans(spans)
    assert len(found) == 1, f"{len(found)} server spans, expected 1\n{tree(spans)}"
    return found[0]


def late_spans(spans: Sequence[ReadableSpan]) -> list[ReadableSpan]:
    """Return the spans made for errors that came after their request's span had ended."""
    return [span for span in spans if span.name.endswith(LATE_SUFFIX)]


def trace_ids(spans: Sequence[ReadableSpan]) -> set[int]:
    """Return the ids of the traces that `spans` belong to."""
    return {span.context.trace_id for span in spans if span.context is not None}


def parent_of(span: ReadableSpan, spans: Sequence[ReadableSpan]) -> ReadableSpan | None:
    """Return the parent of `span` among `spans`."""
    wanted = span.parent.span_id if span.parent else None
    for other in spans:
        if other.context is not None and other.context.span_id == wanted:
            return other
    return None


def tree(spans: Sequence[ReadableSpan]) -> str:
    """Draw `spans` with their status and exception events, for a failure message."""
    if not spans:
        return "(no spans)"
    lines: list[str] = []

    def draw(span: ReadableSpan, depth: int) -> None:
        pad = "  " * depth
        status = span.status
        about = f" {status.description!r:.120}" if status.description else ""
        lines.append(f"{pad}{span.name} [{span.kind.name}] {status.status_code.name}{about}")
        for event in span.events:
            attributes = event.attributes or {}
            message = attributes.get("exception.message", "")
            own = {
                key.removeprefix("everylayer."): value
                for key, value in attributes.items()
                if key.startswith("everylayer.")
            }
            kind = attributes.get("exception.type", event.name)
            lines.append(f"{pad}  ! {kind}: {message!r:.120} {own or ''}".rstrip())
        for child in spans:
            if parent_of(child, spans) is span:
                draw(child, depth + 1)

    for span in spans:
        if parent_of(span, spans) is None:
            draw(span, 0)
    return "\n".join(lines)
