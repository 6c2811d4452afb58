"""What `error_spans` puts in place of the global provider, and what is there afterwards."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util._once import Once

from everylayer.testing import ErrorSpans, spans

asked = contextlib.contextmanager(spans.error_spans)


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process in which nobody has set a provider."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter: InMemorySpanExporter) -> Iterator[TracerProvider]:
    made = TracerProvider(shutdown_on_exit=False)
    made.add_span_processor(SimpleSpanProcessor(exporter))
    yield made
    made.shutdown()


def span(tracer: trace.Tracer, name: str) -> bool:
    """Make a span; tell whether it records."""
    with tracer.start_as_current_span(name) as made:
        return made.is_recording()


def names(error_spans: ErrorSpans) -> list[str]:
    return [each.name for each in error_spans.spans]


def exported(exporter: InMemorySpanExporter) -> list[str]:
    return [each.name for each in exporter.get_finished_spans()]


def test_where_there_was_none_there_is_none(provider: TracerProvider) -> None:
    proxied = trace.get_tracer("app")
    with asked() as error_spans:
        assert isinstance(trace.get_tracer_provider(), TracerProvider)
        assert span(proxied, "a")
        assert span(trace.get_tracer("app"), "b")
        assert names(error_spans) == ["a", "b"]
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
    assert not span(proxied, "c")
    trace.set_tracer_provider(provider)
    assert trace.get_tracer_provider() is provider


def test_the_global_one_is_back_and_was_seen(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    trace.set_tracer_provider(provider)
    before = provider._active_span_processor._span_processors
    kept = trace.get_tracer("app")
    with asked() as error_spans:
        assert span(kept, "of the app")
        assert span(trace.get_tracer("app"), "of the test")
        assert names(error_spans) == ["of the app", "of the test"]
    assert trace.get_tracer_provider() is provider
    assert provider._active_span_processor._span_processors == before
    assert span(kept, "later")
    assert names(error_spans) == ["of the app", "of the test"]
    assert exported(exporter) == ["of the app", "later"]


def test_a_tracer_kept_from_a_test_serves_the_next_and_the_app(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    proxied = trace.get_tracer("before")
    with asked():
        kept = trace.get_tracer("app")
        span(proxied, "one")
    assert not span(kept, "between")
    with asked() as error_spans:
        assert span(kept, "two")
        assert span(proxied, "three")
        assert names(error_spans) == ["two", "three"]
    trace.set_tracer_provider(provider)
    assert span(kept, "outside")
    assert span(proxied, "outside too")
    assert names(error_spans) == ["two", "three"]
    assert exported(exporter) == ["outside", "outside too"]


def test_a_provider_set_within_a_test_is_seen_and_stays(
    provider: TracerProvider,
    exporter: InMemorySpanExporter,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with asked() as error_spans:
        trace.set_tracer_provider(provider)
        assert not caplog.records
        assert span(provider.get_tracer("app"), "direct")
        assert span(trace.get_tracer("app"), "global")
        assert names(error_spans) == ["direct", "global"]
        trace.set_tracer_provider(TracerProvider(shutdown_on_exit=False))
        assert "not allowed" in caplog.text
    assert trace.get_tracer_provider() is provider
    assert trace._TRACER_PROVIDER_SET_ONCE._done
    assert exported(exporter) == ["direct"]


def test_a_provider_of_the_apps_own_is_watched(provider: TracerProvider) -> None:
    tracer = provider.get_tracer("app")
    with asked() as error_spans:
        span(tracer, "not seen")
        error_spans.watch(provider)
        error_spans.watch(provider)
        span(tracer, "seen")
        assert names(error_spans) == ["seen"]
    span(tracer, "later")
    assert names(error_spans) == ["seen"]


def test_spans_of_before_are_of_no_test(provider: TracerProvider) -> None:
    trace.set_tracer_provider(provider)
    outer = trace.get_tracer("run").start_span("the whole run")
    with asked() as first:
        left = trace.get_tracer("app").start_span("ends too late")
        outer.end()
        with asked() as inner:
            span(trace.get_tracer("app"), "inner")
            left.end()
        span(trace.get_tracer("app"), "outer")
    assert names(inner) == ["inner"]
    assert names(first) == ["outer"]


def test_spans_are_there_also_where_the_run_has_none() -> None:
    code = """
from opentelemetry import trace
from everylayer.testing.spans import error_spans
made = error_spans()
here = next(made)
trace.get_tracer("app").start_span("a").end()
assert [each.name for each in here.spans] == ["a"]
"""
    none = {"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_SAMPLER": "always_off"}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **none}, timeout=60, check=False
    )
    assert done.returncode == 0
