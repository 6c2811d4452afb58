"""The tracer provider of tests: global while a test asks for it, and gone without a trace after."""

from __future__ import annotations

import threading
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, Tracer, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import SpanContext

from ..audit.store import Store


class Kept(Store):
    """Keeps the spans that start and end within one test."""

    def __init__(self) -> None:
        super().__init__()
        self._open: dict[tuple[int, int], str] = {}
        self._guard = threading.Lock()

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        with self._guard:
            self._open[_id(span.get_span_context())] = span.name

    def on_end(self, span: ReadableSpan) -> None:
        context = span.context
        with self._guard:
            # It may be told twice, by two providers, and the second time it is known already.
            mine = self._open.pop(_id(context), None) is not None if context else False
        if mine:
            super().on_end(span)

    def open(self) -> tuple[str, ...]:
        """Return the names of spans that have not ended."""
        with self._guard:
            return tuple(self._open.values())

    def reset(self) -> None:
        with self._guard:
            self._open.clear()
        super().reset()


def _id(context: SpanContext) -> tuple[int, int]:
    return context.trace_id, context.span_id


class _Switch(SpanProcessor):
    """Hands spans to the test that runs, if one asks for them."""

    kept: Kept | None = None

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        if (kept := self.kept) is not None:
            kept.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        if (kept := self.kept) is not None:
            kept.on_end(span)


class _Provider(TracerProvider):
    """One for all tests of a process: an app keeps the tracers that it was given in the first."""

    def __init__(self) -> None:
        super().__init__(sampler=ALWAYS_ON, resource=Resource({}), shutdown_on_exit=False)
        # Who asks for `error_spans` wants spans, also where the run as a whole has none.
        self._disabled = False

    def get_tracer(self, *args: Any, **kwargs: Any) -> trace.Tracer:
        tracer = super().get_tracer(*args, **kwargs)
        if type(tracer) is Tracer:
            tracer.__class__ = _Tracer
            tracer.asked = (args, kwargs)  # type: ignore[attr-defined]
        return tracer


class _Tracer(Tracer):
    """Outside a test that asks for spans, the tracer that there would be without the plugin."""

    asked: tuple[tuple[Any, ...], dict[str, Any]]

    def start_span(self, *args: Any, **kwargs: Any) -> trace.Span:
        if _switch.kept is not None:
            return super().start_span(*args, **kwargs)
        provider = trace.get_tracer_provider()
        if provider is _provider or isinstance(provider, trace.ProxyTracerProvider):
            return trace.NoOpTracer().start_span(*args, **kwargs)
        given, named = self.asked
        return provider.get_tracer(*given, **named).start_span(*args, **kwargs)


_switch = _Switch()
_provider = _Provider()
_provider.add_span_processor(_switch)


class Installation:
    """Our provider in the place of the global one, from `begin` to `end`.

    A provider that is there already, or is set meanwhile, keeps its exporters, and its spans
    are seen.
    """

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self._watched: list[TracerProvider] = []
        self._before: trace.TracerProvider | None = None
        self._was_done = False
        self._outer: Kept | None = None
        self._set: Any = None

    def begin(self) -> None:
        """Put it in."""
        once = trace._TRACER_PROVIDER_SET_ONCE
        self._before, self._was_done = trace._TRACER_PROVIDER, once._done
        self._outer, _switch.kept = _switch.kept, self._kept
        self._set = trace._set_tracer_provider
        trace._set_tracer_provider = self._set_later
        trace._TRACER_PROVIDER, once._done = _provider, True
        self.watch(self._before)

    def watch(self, provider: object) -> None:
        """See the spans of `provider` too, which an app was given or has made for itself."""
        if isinstance(provider, TracerProvider) and provider is not _provider:
            provider.add_span_processor(self._kept)
            self._watched.append(provider)

    def _set_later(self, tracer_provider: trace.TracerProvider, log: bool = True) -> None:
        # As it would be without us: the first one counts, from the end of the test on.
        if self._before is None and not self._was_done:
            self._before, self._was_done = tracer_provider, True
            self.watch(tracer_provider)
        else:
            self._set(tracer_provider, log)

    def end(self) -> None:
        """Take it out, and leave what would be there without it."""
        trace._set_tracer_provider = self._set
        trace._TRACER_PROVIDER = self._before
        trace._TRACER_PROVIDER_SET_ONCE._done = self._was_done
        _switch.kept = self._outer
        for provider in self._watched:
            processor = provider._active_span_processor
            with processor._lock:
                processor._span_processors = tuple(
                    each for each in processor._span_processors if each is not self._kept
                )
