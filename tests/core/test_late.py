"""Errors that come after their span has ended: on a short child span of the same trace."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from opentelemetry import trace
from opentelemetry.context import get_current
from opentelemetry.trace import StatusCode

import everylayer
from contract.telemetry import Telemetry, error_events, late_spans, parent_of, trace_ids
from everylayer.layers import Layer
from everylayer.ledger import Ledger
from everylayer.observer import observe

GATE = Layer("Gate", "middleware", 0)
Begin = Callable[..., tuple[trace.Span, Ledger]]
Catch = Callable[[BaseException], BaseException]


def test_a_late_error_gets_a_span_of_its_own(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of()
    ledger.responded(200)
    span.end()
    observe(caught(ValueError("x")), GATE, "stream", ledger=ledger)
    assert len(telemetry.spans) == 1
    ledger.close()
    (late,) = late_spans(telemetry.spans)
    assert late.name == "Gate (late)"
    assert late.status.status_code is StatusCode.ERROR
    assert late.status.description == "x"
    assert late.attributes["error.type"] == "ValueError"  # type: ignore[index]
    (event,) = error_events([late])
    assert event.event.attributes["everylayer.layer.phase"] == "stream"  # type: ignore[index]
    assert event.event.attributes["everylayer.handled"] is False  # type: ignore[index]
    assert event.event.timestamp == late.start_time
    parent = parent_of(late, telemetry.spans)
    assert parent is not None
    assert parent.name == "GET /"
    assert parent.status.is_unset
    assert len(trace_ids(telemetry.spans)) == 1


def test_a_late_span_does_not_depend_on_the_current_span(
    telemetry: Telemetry, request_of: Begin, tracer: trace.Tracer, caught: Catch
) -> None:
    span, ledger = request_of()
    span.end()
    with tracer.start_as_current_span("another request"):
        observe(caught(ValueError("x")), GATE, ledger=ledger)
        ledger.close()
    (late,) = late_spans(telemetry.spans)
    assert late.parent.span_id == span.get_span_context().span_id  # type: ignore[union-attr]


def test_a_late_error_seen_by_many_seams_is_one(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of()
    span.end()
    exc = caught(ValueError("x"))
    for _ in range(3):
        observe(exc, GATE, ledger=ledger)
    ledger.close(exc)
    assert len(late_spans(telemetry.spans)) == 1


def test_a_clean_request_still_knows_its_span_when_an_error_comes_later(
    telemetry: Telemetry, tracer: trace.Tracer, caught: Catch
) -> None:
    ledger = Ledger(everylayer.Settings())
    with tracer.start_as_current_span("GET /", kind=trace.SpanKind.SERVER):
        ledger.around = get_current()
        ledger.responded(200)
        ledger.close()
    observe(caught(ValueError("x")), GATE, ledger=ledger)
    (late,) = late_spans(telemetry.spans)
    parent = parent_of(late, telemetry.spans)
    assert parent is not None
    assert parent.name == "GET /"


def test_two_late_errors_are_two_spans(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of()
    ledger.close()
    span.end()
    for _ in range(2):
        observe(caught(ValueError("x")), GATE, ledger=ledger)
    assert len(late_spans(telemetry.spans)) == 2


def test_a_late_error_after_one_in_time(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of()
    observe(caught(KeyError("in time")), GATE, ledger=ledger)
    ledger.responded(200)
    span.end()
    late = caught(ValueError("late"))
    late.__context__ = None
    observe(late, GATE, ledger=ledger)
    ledger.close(late)
    assert [e.span.name for e in error_events(telemetry.spans)] == ["GET /", "Gate (late)"]
    assert telemetry.spans[0].status.is_unset


def test_late_without_a_seam(telemetry: Telemetry, tracer: trace.Tracer, caught: Catch) -> None:
    with tracer.start_as_current_span("work") as span:
        span.end()
        everylayer.record(caught(ValueError("x")), layer="cleanup")
    (late,) = late_spans(telemetry.spans)
    assert late.name == "cleanup (late)"


@pytest.mark.parametrize("status", [200, 404, 500])
def test_a_late_error_is_an_error_whatever_the_response_was(
    telemetry: Telemetry, request_of: Begin, caught: Catch, status: int
) -> None:
    span, ledger = request_of()
    ledger.responded(status)
    span.end()
    observe(caught(ValueError("x")), GATE, ledger=ledger, client_status=404)
    ledger.close()
    assert late_spans(telemetry.spans)[0].status.status_code is StatusCode.ERROR


def test_a_late_error_that_the_app_handled_is_no_error(
    telemetry: Telemetry, tracer: trace.Tracer, caught: Catch
) -> None:
    with tracer.start_as_current_span("work") as span:
        span.end()
        everylayer.record(caught(ValueError("x")), layer="cleanup", handled=True)
    (late,) = late_spans(telemetry.spans)
    assert late.status.is_unset
    assert late.attributes["everylayer.layer.name"] == "cleanup"  # type: ignore[index]
    assert error_events([late])[0].event.attributes["everylayer.handled"] is True  # type: ignore[index]


def test_an_expected_class_is_never_an_error(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of(expected=["ValueError"])
    span.end()
    observe(caught(ValueError("x")), GATE, ledger=ledger)
    ledger.close()
    assert late_spans(telemetry.spans)[0].status.is_unset


def test_late_spans_can_be_switched_off(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of(late_spans=False)
    span.end()
    observe(caught(ValueError("x")), GATE, ledger=ledger)
    ledger.close()
    assert late_spans(telemetry.spans) == []
    assert error_events(telemetry.spans) == []


def test_a_departure_after_the_end_is_silent(telemetry: Telemetry, request_of: Begin) -> None:
    import asyncio

    span, ledger = request_of()
    span.end()
    observe(asyncio.CancelledError(), GATE, ledger=ledger)
    ledger.close()
    assert late_spans(telemetry.spans) == []


def test_the_name_of_a_late_span_is_safe_to_export(
    telemetry: Telemetry, tracer: trace.Tracer, caught: Catch
) -> None:
    with tracer.start_as_current_span("work") as span:
        span.end()
        everylayer.record(caught(ValueError("x")), layer="bad \ud800\n" + "n" * 10_000)
    (late,) = late_spans(telemetry.spans)
    late.name.encode()
    assert len(late.name) <= 210
    assert "\n" not in late.name
