"""Telemetry that is broken, in every way that an SDK, its parts and its plugins can be."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from opentelemetry import propagate, trace
from opentelemetry._logs import _internal as logs_internal
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    Decision,
    Sampler,
    SamplingResult,
)
from opentelemetry.trace import NoOpTracerProvider

from kit_foreign import ForeignProvider

_OPT_IN = "OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN"


_RAISING = (
    "on_start",
    "on_end",
    "_on_ending",
    "sampler raises",
    "ids raise",
    "swapped",
    "propagator",
    "log",
)


class Broken(Exception):
    """What broken telemetry raises."""


class Stopped(BaseException):
    """What badly broken telemetry raises: nobody's `except Exception` stops it."""


class Hits:
    """Counts how often the broken part was reached: a fault that nothing meets proves nothing."""

    def __init__(self) -> None:
        self.count = 0
        self.release = threading.Event()
        self.blocked = threading.Event()

    def add(self, _: object) -> None:
        self.count += 1

    def raises(self, error: type[BaseException]) -> Callable[..., Any]:
        def fail(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            raise error("the telemetry is broken")

        return fail

    def hangs(self, *args: Any) -> SpanExportResult:
        """Do not return before the test is over."""
        self.count += 1
        self.blocked.set()
        self.release.wait()
        return SpanExportResult.FAILURE


class Exporter(SpanExporter):
    """An exporter that does what it is told to."""

    def __init__(self, export: Callable[..., Any]) -> None:
        self._export = export

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result: SpanExportResult = self._export(spans)
        return result


class Processor(SpanProcessor):
    """A span processor that fails where it is told to."""

    def __init__(self, **broken: Callable[..., Any]) -> None:
        for name, replaced in broken.items():
            setattr(self, name, replaced)


class Spy(SpanProcessor):
    """Tells that a span was made at all."""

    def __init__(self, hits: Hits) -> None:
        self._hits = hits

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        self._hits.count += 1


class SamplerDouble(Sampler):
    """A sampler that does what it is told to."""

    def __init__(self, decide: Callable[..., SamplingResult]) -> None:
        self._decide = decide

    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        return self._decide(*args, **kwargs)

    def get_description(self) -> str:
        return "a double"


class Ids(IdGenerator):
    """An id generator that does what it is told to."""

    def __init__(self, make: Callable[[], int]) -> None:
        self._make = make

    def generate_span_id(self) -> int:
        return self._make()

    def generate_trace_id(self) -> int:
        return self._make()


class Propagator(TextMapPropagator):
    """A propagator that fails."""

    def __init__(self, fail: Callable[..., Any]) -> None:
        self._fail = fail

    def extract(self, *args: Any, **kwargs: Any) -> Any:
        return self._fail()

    def inject(self, *args: Any, **kwargs: Any) -> None:
        self._fail()

    @property
    def fields(self) -> set[str]:
        return set()


class BrokenProvider(trace.TracerProvider):
    """A provider that has no tracer to give."""

    def __init__(self, fail: Callable[..., Any]) -> None:
        self._fail = fail

    def get_tracer(self, *args: Any, **kwargs: Any) -> Any:
        return self._fail()


class BrokenLogs(LogRecordProcessor):
    """A log processor that fails."""

    def __init__(self, fail: Callable[..., Any]) -> None:
        self._fail = fail

    def on_emit(self, log_record: Any) -> None:
        self._fail()

    def shutdown(self) -> None:
        """Nothing to end."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return True


Telemetry = tuple["trace.TracerProvider", "Callable[[], object]"]


def nothing() -> None:
    """Do nothing before a request."""


def sdk(hits: Hits, processor: SpanProcessor | None = None, **options: Any) -> TracerProvider:
    """Return a provider whose spans also reach an exporter that works."""
    provider = TracerProvider(shutdown_on_exit=False, **options)
    provider.add_span_processor(SimpleSpanProcessor(InMemorySpanExporter()))
    if processor is not None:
        provider.add_span_processor(processor)
    return provider


@dataclass(frozen=True)
class Breakage:
    """One way to be broken.

    Attributes:
        name: id of the case.
        make: builds the provider, and what happens between the app's start and its requests.
        met: the broken part is one that requests reach, so it must count them.
        environ: variables that the case needs.
        during: what `make` prepares happens in the middle of a request, right before its error.
    """

    name: str
    make: Callable[[Hits], Telemetry]
    met: bool = True
    environ: dict[str, str] = field(default_factory=dict)
    during: bool = False

    def __str__(self) -> str:
        return self.name

    @property
    def stops(self) -> bool:
        """Whether it raises what is no `Exception`, in the thread of the request."""
        return self.name.endswith("stops")

    @property
    def harmless(self) -> bool:
        """Whether nothing of it raises into what calls the API: no failure of ours is due."""
        return "exporter" in self.name or not self.name.startswith(_RAISING)


def with_processor(name: str, make: Callable[[Hits], SpanProcessor], met: bool = True) -> Breakage:
    return Breakage(name, lambda hits: (sdk(hits, make(hits)), nothing), met=met)


def with_option(name: str, make: Callable[[Hits], dict[str, Any]], met: bool = True) -> Breakage:
    return Breakage(name, lambda hits: (sdk(hits, **make(hits)), nothing), met=met)


def batch(export: Callable[..., Any]) -> BatchSpanProcessor:
    """Return a processor whose queue is full after four spans."""
    return BatchSpanProcessor(
        Exporter(export), max_queue_size=4, max_export_batch_size=2, schedule_delay_millis=1
    )


def drops(hits: Hits) -> Callable[..., SamplingResult]:
    def decide(*args: Any, **kwargs: Any) -> SamplingResult:
        hits.count += 1
        return ALWAYS_OFF.should_sample(*args, **kwargs)

    return decide


def records_only(hits: Hits) -> Callable[..., SamplingResult]:
    def decide(*args: Any, **kwargs: Any) -> SamplingResult:
        hits.count += 1
        return SamplingResult(Decision.RECORD_ONLY)

    return decide


def alternates(hits: Hits) -> Callable[..., SamplingResult]:
    def decide(*args: Any, **kwargs: Any) -> SamplingResult:
        hits.count += 1
        return (ALWAYS_ON, ALWAYS_OFF)[hits.count % 2].should_sample(*args, **kwargs)

    return decide


def shut_down(hits: Hits) -> Telemetry:
    provider = sdk(hits, Spy(hits))
    provider.shutdown()
    return provider, nothing


def shut_down_later(hits: Hits) -> Telemetry:
    provider = sdk(hits, Spy(hits))
    return provider, provider.shutdown


def swapped(hits: Hits) -> Telemetry:
    def swap() -> None:
        trace._TRACER_PROVIDER = BrokenProvider(hits.raises(Broken))  # type: ignore[assignment]

    return sdk(hits, Spy(hits)), swap


def removed(hits: Hits) -> Telemetry:
    def remove() -> None:
        trace._TRACER_PROVIDER = None

    return sdk(hits, Spy(hits)), remove


def broken_propagation(hits: Hits) -> Telemetry:
    def break_it() -> None:
        propagate.set_global_textmap(Propagator(hits.raises(Broken)))

    return sdk(hits), break_it


def foreign(hits: Hits) -> Telemetry:
    return ForeignProvider(hits.add), nothing


def broken_logs(hits: Hits) -> Telemetry:
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(BrokenLogs(hits.raises(Broken)))
    logs_internal._LOGGER_PROVIDER = provider
    return sdk(hits), nothing


BREAKAGES = (
    with_processor("exporter raises", lambda h: SimpleSpanProcessor(Exporter(h.raises(Broken)))),
    with_processor("exporter stops", lambda h: SimpleSpanProcessor(Exporter(h.raises(Stopped)))),
    with_processor("batch exporter raises", lambda h: batch(h.raises(Broken))),
    with_processor("batch exporter dies", lambda h: batch(h.raises(Stopped))),
    with_processor("batch exporter hangs", lambda h: batch(h.hangs)),
    with_processor("on_start raises", lambda h: Processor(on_start=h.raises(Broken))),
    with_processor("on_start stops", lambda h: Processor(on_start=h.raises(Stopped))),
    with_processor("on_end raises", lambda h: Processor(on_end=h.raises(Broken))),
    with_processor("on_end stops", lambda h: Processor(on_end=h.raises(Stopped))),
    with_processor(
        "_on_ending raises",
        lambda h: Processor(_on_ending=h.raises(Broken)),
        met=hasattr(SpanProcessor, "_on_ending"),
    ),
    with_option("sampler raises", lambda h: {"sampler": SamplerDouble(h.raises(Broken))}),
    with_option("sampler drops", lambda h: {"sampler": SamplerDouble(drops(h))}),
    with_option("sampler records only", lambda h: {"sampler": SamplerDouble(records_only(h))}),
    with_option("sampler alternates", lambda h: {"sampler": SamplerDouble(alternates(h))}),
    with_option("ids raise", lambda h: {"id_generator": Ids(h.raises(Broken))}),
    with_option("ids are zero", lambda h: {"id_generator": Ids(lambda: 0)}, met=False),
    with_option("ids are all one", lambda h: {"id_generator": Ids(lambda: 1)}, met=False),
    Breakage("shut down before", shut_down),
    Breakage("shut down after the start", shut_down_later),
    Breakage("swapped for a broken one", swapped),
    Breakage("removed", removed, met=False),
    Breakage("shut down during a request", shut_down_later, during=True),
    Breakage("swapped during a request", swapped, during=True),
    Breakage("removed during a request", removed, during=True),
    Breakage("no-op provider", lambda h: (NoOpTracerProvider(), nothing), met=False),
    Breakage("provider of another make", foreign),
    Breakage("propagator raises", broken_propagation),
    Breakage("log processor raises", broken_logs, environ={_OPT_IN: "logs/dup"}),
)


@contextlib.contextmanager
def telemetry(broken: Breakage, hits: Hits) -> Iterator[Callable[[], object]]:
    """Put the provider of `broken` in place; give what is to happen once the app is built."""
    kept = (
        trace._TRACER_PROVIDER,
        propagate.get_global_textmap(),
        logs_internal._LOGGER_PROVIDER,
    )
    provider, then = broken.make(hits)
    trace._TRACER_PROVIDER = provider  # type: ignore[assignment]
    try:
        yield then
    finally:
        hits.release.set()
        trace._TRACER_PROVIDER = kept[0]
        propagate.set_global_textmap(kept[1])
        logs_internal._LOGGER_PROVIDER = kept[2]
        with contextlib.suppress(Broken, Stopped, AttributeError):
            provider.shutdown()  # type: ignore[attr-defined]
