"""What is recorded where nothing of ours stands: redacted as it is exported."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as budget
from hypothesis import strategies as st
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import (
    BatchLogRecordProcessor,
    InMemoryLogRecordExporter,
)
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags
from planted import CARD, PATHS, SECRETS, linked, plain

from everylayer import SettingsError
from everylayer import settings as everylayer_settings
from everylayer.redaction import RedactingLogRecordExporter, RedactingSpanExporter, Redaction
from everylayer.redaction.redactor import FAILED, Redactor


class Traced:
    """A provider whose spans pass a redacting exporter, and what arrives behind it."""

    def __init__(self, limits: SpanLimits | None = None, **options: Any) -> None:
        self.sink = InMemorySpanExporter()
        self.provider = TracerProvider(span_limits=limits)
        self._processor = BatchSpanProcessor(RedactingSpanExporter(self.sink, **options))
        self.provider.add_span_processor(self._processor)
        self.tracer = self.provider.get_tracer("app", "1.0")

    def arrived(self) -> tuple[ReadableSpan, ...]:
        assert self._processor.force_flush()
        return self.sink.get_finished_spans()

    def text(self) -> str:
        """Return what leaves the process, and what the console shows."""
        spans = self.arrived()
        return f"{encode_spans(spans)}{[span.to_json() for span in spans]}"

    def close(self) -> None:
        self.provider.shutdown()


@pytest.fixture
def traced() -> Iterator[Traced]:
    made = Traced()
    yield made
    made.close()


def fail(traced: Traced, exc: BaseException) -> None:
    with (
        pytest.raises(type(exc)),
        traced.tracer.start_as_current_span("GET /"),
        traced.tracer.start_as_current_span("charge"),
    ):
        raise exc


# Stock records no SystemExit.
RECORDED = [path for path in PATHS if path != "system exit"]


@pytest.mark.parametrize("path", RECORDED)
def test_stocks_own_recording_on_every_span_is_redacted(path: str, traced: Traced) -> None:
    fail(traced, linked(path, f"card {CARD} of jane@example.com"))
    found = traced.text()
    assert CARD not in found
    assert "jane@example.com" not in found
    assert "[card]" in found
    assert [len(span.events) for span in traced.arrived()] == [1, 1]


def test_a_span_that_needs_no_change_is_passed_as_it_is() -> None:
    seen: list[ReadableSpan] = []

    class Sink(InMemorySpanExporter):
        def export(self, spans: Any) -> Any:
            seen.extend(spans)
            return super().export(spans)

    provider = TracerProvider()
    plain_sink = InMemorySpanExporter()
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    provider.add_span_processor(SimpleSpanProcessor(plain_sink))
    provider.add_span_processor(SimpleSpanProcessor(RedactingSpanExporter(Sink(), attributes=True)))
    tracer = provider.get_tracer("app")
    with pytest.raises(LookupError), tracer.start_as_current_span("a", attributes={"n": 1}):
        raise LookupError("no espresso")
    tracer.start_span("b", attributes={"names": ("x", "y")}).end()
    with pytest.raises(LookupError), tracer.start_as_current_span("c"):
        raise LookupError(CARD)
    raw = plain_sink.get_finished_spans()
    assert [a is b for a, b in zip(seen, raw, strict=True)] == [True, True, False]


def test_the_rest_of_a_changed_span_is_the_same(traced: Traced) -> None:
    limited = Traced(
        SpanLimits(max_events=2, max_links=1, max_span_attributes=2, max_event_attributes=4)
    )
    context = SpanContext(1, 2, True, TraceFlags(1))
    with limited.tracer.start_as_current_span("parent"):
        span = limited.tracer.start_span(
            "child", links=[Link(context), Link(context, {"a": CARD})], attributes={"x": CARD}
        )
        for key in "abc":
            span.set_attribute(key, key)
        for _ in range(3):
            span.record_exception(ValueError(CARD), {"order": CARD})
        span.set_status(Status(StatusCode.ERROR, f"ValueError: {CARD}"))
        span.end()
    child, parent = limited.arrived()
    assert child.name == "child"
    assert child.parent is not None
    assert parent.context is not None
    assert child.parent.span_id == parent.context.span_id
    assert (child.dropped_attributes, child.dropped_events, child.dropped_links) == (2, 1, 1)
    assert dict(child.attributes or {}) == {"b": "b", "c": "c"}
    assert child.status.description == "ValueError: [card]"
    assert (child.start_time, child.end_time) != (None, None)
    assert child.instrumentation_scope == parent.instrumentation_scope
    for event in child.events:
        assert event.attributes is not None
        assert event.attributes["exception.message"] == "[card]"
        # What the app adds is its own, unless it asks for more.
        assert event.attributes["order"] == CARD
        assert event.dropped_attributes == 1
    (resource,) = encode_spans([child]).resource_spans
    (encoded,) = resource.scope_spans[0].spans
    assert (encoded.dropped_events_count, encoded.dropped_links_count) == (1, 1)
    assert encoded.status.message == "ValueError: [card]"
    limited.close()


def test_attributes_names_and_links_if_asked_for() -> None:
    traced = Traced(attributes=True)
    context = SpanContext(1, 2, True, TraceFlags(1))
    span = traced.tracer.start_span(
        f"pay {CARD}",
        attributes={
            "cards": (CARD, "none"),
            "http.request.header.authorization": ("Custom x",),
            "session.id": "abc",
            "nested": {"deep": [{"password": "hunt3r2", "card": CARD}]},
            "n": 3,
            "raw": b"\xff",
        },
        links=[Link(context, {"card": CARD}), Link(context, {"a": "b"})],
    )
    span.add_event("retry", {"card": CARD})
    span.end()
    (found,) = traced.arrived()
    assert found.name == "pay [card]"
    kept = dict(found.attributes or {})
    assert kept["cards"] == ("[card]", "none")
    assert kept["http.request.header.authorization"] == "[secret]"
    assert kept["session.id"] == "[secret]"
    # An older SDK has taken bytes that are no text away already.
    assert (kept["n"], kept.get("raw")) == (3, (span.attributes or {}).get("raw"))
    text = str(encode_spans([found]))
    assert CARD not in text
    assert "hunt3r2" not in text
    assert dict(found.links[1].attributes or {}) == {"a": "b"}
    traced.close()


def test_a_type_is_no_name_of_a_secret(traced: Traced) -> None:
    class InvalidToken(Exception):
        pass

    fail(traced, InvalidToken("espresso1"))
    assert {span.status.description for span in traced.arrived()} == {"InvalidToken: espresso1"}


def test_a_policy_of_its_own_or_that_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Traced(redaction=Redaction(actions={"card": "off"}, patterns={"order": r"ORD-\d+"}))
    fail(own, ValueError(f"{CARD} ORD-1"))
    assert {span.status.description for span in own.arrived()} == {f"ValueError: {CARD} [order]"}
    monkeypatch.setenv("EVERYLAYER_REDACTION", "off")
    everylayer_settings.reset()
    off = Traced()
    fail(off, ValueError(CARD))
    assert CARD in off.text()
    with pytest.raises(SettingsError):
        Traced(redaction="lax")
    for each in (own, off):
        each.close()


def test_it_fails_closed(
    monkeypatch: pytest.MonkeyPatch, failures: dict[str, int], traced: Traced
) -> None:
    def broken(*args: object, **more: object) -> None:
        raise RuntimeError(CARD)

    monkeypatch.setattr(Redactor, "_found", broken)
    fail(traced, ValueError(CARD))
    assert {span.status.description for span in traced.arrived()} == {f"ValueError: {FAILED}"}
    assert CARD not in traced.text()
    monkeypatch.setattr("everylayer.redaction.exporting._event", broken)
    fail(traced, ValueError(CARD))
    assert len(traced.arrived()) == 2
    assert failures["everylayer.redaction"] > 2


class Logged:
    def __init__(self, **options: Any) -> None:
        self.sink = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        self.provider = LoggerProvider()
        self._processor = BatchLogRecordProcessor(RedactingLogRecordExporter(self.sink, **options))
        self.provider.add_log_record_processor(self._processor)

    def emit(self, body: Any, attributes: dict[str, Any] | None = None) -> Any:
        """Return the record that arrives."""
        self.sink.clear()
        logger = self.provider.get_logger("app")
        record = LogRecord(body=body, attributes=attributes, severity_number=SeverityNumber.ERROR)
        logger.emit(record)
        assert self._processor.force_flush()
        (found,) = self.sink.get_finished_logs()
        assert encode_logs([found])
        return found.log_record

    def close(self) -> None:
        self.provider.shutdown()


ABOUT = {"exception.message": f"no {CARD}", "exception.stacktrace": f"ValueError: {CARD}"}


def test_log_records_of_exceptions_are_redacted_body_and_all() -> None:
    logged = Logged()
    found = logged.emit(f"charging {CARD} failed", {**ABOUT, "order": CARD})
    assert found.body == "charging [card] failed"
    assert found.attributes["exception.message"] == "no [card]"
    assert found.attributes["exception.stacktrace"] == "ValueError: [card]"
    assert found.attributes["order"] == CARD
    assert logged.emit(f"card {CARD}").body == f"card {CARD}"
    logged.close()
    logged = Logged(attributes=True)
    found = logged.emit({"said": [f"card {CARD}"], "token": "abc"}, {"card": CARD})
    assert found.body == {"said": ("card [card]",), "token": "[secret]"}
    assert found.attributes["card"] == "[card]"
    logged.close()


def test_log_records_fail_closed(monkeypatch: pytest.MonkeyPatch, failures: dict[str, int]) -> None:
    def broken(*args: object, **more: object) -> None:
        raise RuntimeError(CARD)

    logged = Logged()
    monkeypatch.setattr(Redactor, "_found", broken)
    assert logged.emit(CARD, ABOUT).body == FAILED
    monkeypatch.setattr("everylayer.redaction.exporting._log", broken)
    with pytest.raises(ValueError, match="not enough values"):
        logged.emit(CARD, ABOUT)
    assert failures["everylayer.redaction"] > 1
    logged.close()


@pytest.fixture
def both() -> Iterator[tuple[Traced, Logged]]:
    traced, logged = Traced(), Logged()
    yield traced, logged
    traced.close()
    logged.close()


AROUND = st.text(st.characters(exclude_categories=("Nd", "L", "Pc", "Pd")), max_size=30)


@budget(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    path=st.sampled_from(RECORDED),
    secret=st.sampled_from(SECRETS),
    before=AROUND,
    after=AROUND,
    fill=st.integers(0, 1000),
)
def test_no_secret_leaves_by_any_span_or_log(
    both: tuple[Traced, Logged], path: str, secret: str, before: str, after: str, fill: int
) -> None:
    traced, logged = both
    traced.sink.clear()
    text = f"{'. ' * fill}{before} {secret} {after}{'. ' * (1000 - fill)}"
    exc = linked(path, text)
    with pytest.raises(type(exc)), traced.tracer.start_as_current_span("charge"):
        raise exc
    (span,) = traced.arrived()
    # Surrogates that stock lets pass lose the batch: all is encoded.
    found = str(encode_spans([span])) + span.to_json()
    about = span.events[0].attributes or {}
    record = logged.emit(text, dict(about))
    found += f"{record.body}{record.attributes}"
    assert plain(secret) not in found
    assert plain(secret)[:9] not in found
    assert plain(secret)[-9:] not in found


def test_the_exporters_are_ready_for_logging_and_shutdown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    traced = Traced()
    fail(traced, ValueError(CARD))
    traced.close()
    assert {span.name for span in traced.sink.get_finished_spans()} == {"GET /", "charge"}
    assert not caplog.records
