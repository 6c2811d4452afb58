"""When a span really ends: with the outcome of its request, at the time it was ended."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from contract.telemetry import Telemetry, late_spans, server_span
from everylayer.layers import Layer
from everylayer.ledger import Ledger
from everylayer.observer import observe
from everylayer.settings import Settings

GATE = Layer("Gate", "middleware", 0)
Begin = Callable[..., tuple[trace.Span, Ledger]]
Catch = Callable[[BaseException], BaseException]


def test_an_end_before_the_outcome_waits_and_keeps_its_time(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of()
    observe(caught(ValueError("x")), GATE, ledger=ledger)
    span.end(1234)
    assert telemetry.spans == ()
    ledger.responded(200)
    (done,) = telemetry.spans
    assert done.end_time == 1234
    assert done.status.is_unset
    ledger.close()
    assert len(telemetry.spans) == 1


def test_an_end_without_a_time_keeps_the_moment(
    telemetry: Telemetry, request_of: Begin, caught: Catch, monkeypatch: pytest.MonkeyPatch
) -> None:
    span, ledger = request_of()
    observe(caught(ValueError("x")), GATE, ledger=ledger)
    monkeypatch.setattr("everylayer.spans.time.time_ns", lambda: 77)
    span.end()
    monkeypatch.undo()
    ledger.close()
    assert telemetry.spans[0].end_time == 77


def test_the_first_of_two_ends_counts(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of()
    observe(caught(ValueError("x")), GATE, ledger=ledger)
    span.end(10)
    span.end(20)
    ledger.close()
    assert [done.end_time for done in telemetry.spans] == [10]


@pytest.mark.parametrize("status", [200, 500])
def test_an_end_after_the_outcome_does_not_wait(
    telemetry: Telemetry, request_of: Begin, caught: Catch, status: int
) -> None:
    span, ledger = request_of()
    observe(caught(ValueError("x")), GATE, ledger=ledger)
    ledger.responded(status)
    span.end(1234)
    assert telemetry.spans[0].end_time == 1234


def test_a_held_span_ends_when_the_request_ends_without_a_response(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of()
    exc = caught(ValueError("x"))
    observe(exc, GATE, ledger=ledger)
    span.end(1234)
    ledger.close(exc)
    (done,) = telemetry.spans
    assert done.end_time == 1234
    assert done.status.description == "x"


def test_a_second_response_changes_nothing_that_is_done(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of()
    observe(caught(ValueError("x")), GATE, ledger=ledger)
    span.end()
    ledger.responded(200)
    ledger.responded(500)
    ledger.close()
    assert [done.status.is_unset for done in telemetry.spans] == [True]


def test_an_error_after_the_start_of_the_response_waits_for_the_seam(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    """It may still be swallowed, or leave the app: only the outermost seam can tell."""
    for escapes in (False, True):
        telemetry.clear()
        span, ledger = request_of()
        ledger.responded(200)
        exc = caught(ValueError("x"))
        observe(exc, GATE, ledger=ledger)
        span.end(1234)
        assert telemetry.spans == ()
        ledger.close(exc if escapes else None)
        (done,) = telemetry.spans
        assert done.end_time == 1234
        assert (done.status.description == "x") is escapes


def test_a_clean_request_is_not_touched(telemetry: Telemetry, request_of: Begin) -> None:
    span, ledger = request_of()
    before = dict(vars(span))
    ledger.responded(200)
    ledger.close()
    assert vars(span) == before
    assert not ledger.errors
    span.end()
    assert len(telemetry.spans) == 1


def test_a_span_left_open_by_stock_is_ended_where_it_began_inside_the_seam(
    telemetry: Telemetry, tracer: trace.Tracer, caught: Catch
) -> None:
    ledger = Ledger(Settings())
    exc = caught(KeyboardInterrupt())
    span = tracer.start_span("GET /", kind=SpanKind.SERVER)
    with trace.use_span(span):
        observe(exc, GATE, ledger=ledger)
    ledger.close(exc)
    assert server_span(telemetry.spans).status.description == "KeyboardInterrupt"
    assert not span.is_recording()


def test_a_span_from_outside_the_seam_is_its_makers_to_end(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of()
    exc = caught(KeyboardInterrupt())
    observe(exc, GATE, ledger=ledger)
    ledger.close(exc)
    assert telemetry.spans == ()
    span.end()
    assert server_span(telemetry.spans).status.description == "KeyboardInterrupt"


def test_an_error_after_an_end_that_waits_belongs_to_the_span(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of()
    observe(caught(KeyError("first")), GATE, ledger=ledger)
    span.end()
    observe(caught(ValueError("second")), GATE, ledger=ledger)
    ledger.responded(500)
    ledger.close()
    assert len(server_span(telemetry.spans).events) == 2
    assert late_spans(telemetry.spans) == []


def test_an_escape_with_a_client_status_and_no_response_is_an_error(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    """The framework never got to answer with its 404: the server answers 500."""
    span, ledger = request_of()
    exc = caught(ValueError("x"))
    observe(exc, GATE, ledger=ledger, client_status=404)
    ledger.close(exc)
    span.end()
    assert server_span(telemetry.spans).status.description == "x"


def test_an_escape_that_an_outer_layer_answers_is_handled(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of()
    exc = caught(ValueError("x"))
    observe(exc, GATE, ledger=ledger)
    ledger.close(exc)
    span.set_attribute("http.status_code", 404)
    span.end()
    assert server_span(telemetry.spans).status.is_unset


def test_flush_while_the_request_runs_keeps_what_was_seen(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of()
    exc = caught(ValueError("x"))
    observe(exc, GATE, ledger=ledger)
    ledger.responded(500)
    span.end()
    observe(exc, GATE, ledger=ledger)
    ledger.close(exc)
    assert len(telemetry.spans) == 1
    assert len(telemetry.spans[0].events) == 1
