"""The log event: only where it is asked for, in the trace of its span."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import everylayer
from contract.faults import BrokenStrError
from contract.telemetry import Telemetry, error_events, late_spans
from everylayer.layers import Layer
from everylayer.ledger import Ledger
from everylayer.observer import observe

GATE = Layer("Gate", "middleware", 0)
OPT_IN = "OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN"
Begin = Callable[..., tuple[trace.Span, Ledger]]
Catch = Callable[[BaseException], BaseException]


@pytest.mark.parametrize(
    ("value", "span_events", "log_events"),
    [(None, 1, 0), ("", 1, 0), ("logs", 0, 1), ("logs/dup", 1, 1), ("garbage", 1, 0)],
)
@pytest.mark.parametrize("status", [200, 500])
def test_opt_in(
    telemetry: Telemetry,
    request_of: Begin,
    caught: Catch,
    monkeypatch: pytest.MonkeyPatch,
    value: str | None,
    span_events: int,
    log_events: int,
    status: int,
) -> None:
    if value is not None:
        monkeypatch.setenv(OPT_IN, value)
    span, ledger = request_of()
    observe(caught(ValueError("x")), GATE, "call", ledger=ledger)
    ledger.responded(status)
    ledger.close()
    span.end()
    assert len(error_events(telemetry.spans)) == span_events
    assert len(telemetry.logs) == log_events
    (done,) = telemetry.spans
    assert done.status.is_unset is (status == 200)
    assert ("error.type" in (done.attributes or {})) is (status == 500)


def test_the_log_event(
    telemetry: Telemetry, request_of: Begin, caught: Catch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(OPT_IN, "logs")
    span, ledger = request_of()
    observe(caught(ValueError("x")), GATE, "call", ledger=ledger)
    ledger.responded(500)
    ledger.close()
    span.end()
    (found,) = telemetry.logs
    log = found.log_record
    context = span.get_span_context()
    assert (log.trace_id, log.span_id) == (context.trace_id, context.span_id)
    assert log.trace_flags == context.trace_flags
    assert log.event_name == "http.server.request.exception"
    assert log.severity_number is SeverityNumber.ERROR
    assert log.severity_text == "ERROR"
    values: Any = log.attributes
    assert values["exception.type"] == "ValueError"
    assert values["exception.message"] == "x"
    assert "raise_and_catch" in values["exception.stacktrace"]
    assert values["everylayer.layer.name"] == "Gate"
    assert values["everylayer.layer.phase"] == "call"
    assert values["everylayer.handled"] is False
    assert log.timestamp


def test_a_handled_error_is_a_warning(
    telemetry: Telemetry, request_of: Begin, caught: Catch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(OPT_IN, "logs")
    span, ledger = request_of()
    observe(caught(ValueError("x")), GATE, ledger=ledger)
    ledger.responded(200)
    ledger.close()
    span.end()
    assert telemetry.logs[0].log_record.severity_number is SeverityNumber.WARN


def test_outside_a_request_it_is_a_plain_exception_event(
    telemetry: Telemetry, tracer: trace.Tracer, caught: Catch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(OPT_IN, "logs")
    with tracer.start_as_current_span("work") as span:
        everylayer.record(caught(ValueError("x")))
    (found,) = telemetry.logs
    assert found.log_record.event_name == "exception"
    assert found.log_record.span_id == span.get_span_context().span_id


def test_without_a_span_it_has_no_trace(
    telemetry: Telemetry, caught: Catch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(OPT_IN, "logs/dup")
    everylayer.record(caught(ValueError("x")))
    (found,) = telemetry.logs
    assert not found.log_record.trace_id
    assert telemetry.spans == ()


def test_an_unsampled_trace_still_has_its_log(
    telemetry: Telemetry, caught: Catch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(OPT_IN, "logs")
    span = TracerProvider(sampler=ALWAYS_OFF).get_tracer("x").start_span("x")
    with trace.use_span(span):
        everylayer.record(caught(ValueError("x")))
    assert telemetry.logs[0].log_record.trace_id == span.get_span_context().trace_id


def test_a_late_error_is_logged_in_its_late_span(
    telemetry: Telemetry, request_of: Begin, caught: Catch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(OPT_IN, "logs")
    span, ledger = request_of()
    span.end()
    observe(caught(ValueError("x")), GATE, ledger=ledger)
    ledger.close()
    (late,) = late_spans(telemetry.spans)
    assert late.events == ()
    assert late.status.description == "x"
    assert telemetry.logs[0].log_record.span_id == late.context.span_id  # type: ignore[union-attr]


def test_a_log_of_a_hostile_exception(
    telemetry: Telemetry, request_of: Begin, caught: Catch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(OPT_IN, "logs")
    span, ledger = request_of()
    for exc in (BrokenStrError(), ValueError("bad \ud800"), ValueError("y" * 100_000)):
        observe(caught(exc), GATE, ledger=ledger)
    ledger.responded(500)
    ledger.close()
    span.end()
    logged: list[Any] = [found.log_record.attributes for found in telemetry.logs]
    assert "whose str() raises" in logged[0]["exception.message"]
    assert logged[1]["exception.message"] == "bad \\ud800"
    assert len(logged[2]["exception.message"]) <= 4096


def test_the_budget_holds_for_logs(
    telemetry: Telemetry, request_of: Begin, caught: Catch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(OPT_IN, "logs")
    span, ledger = request_of(max_events=2)
    for number in range(4):
        observe(caught(ValueError(number)), GATE, ledger=ledger)
    ledger.responded(500)
    ledger.close()
    span.end()
    assert len(telemetry.logs) == 2
    assert (telemetry.spans[0].attributes or {})["everylayer.exceptions.dropped"] == 2
