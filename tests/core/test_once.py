"""Exactly once: whoever records the same exception, and whatever it becomes on its way out."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind

import everylayer
from contract.telemetry import Telemetry, error_events
from everylayer.layers import Layer
from everylayer.ledger import Ledger
from everylayer.observer import observe

GATE, SHOP = Layer("Gate", "middleware", 0), Layer("Shop", "middleware", 1)
Begin = Callable[..., tuple[trace.Span, Ledger]]
Catch = Callable[[BaseException], BaseException]


def settle(span: trace.Span, ledger: Ledger, status: int = 500) -> None:
    ledger.responded(status)
    ledger.close()
    span.end()


def events(telemetry: Telemetry) -> list[dict[str, Any]]:
    return [dict(found.event.attributes or {}) for found in error_events(telemetry.spans)]


def types(telemetry: Telemetry) -> list[str]:
    return [event["exception.type"] for event in events(telemetry)]


def test_many_seams(telemetry: Telemetry, request_of: Begin, caught: Catch) -> None:
    span, ledger = request_of()
    exc = caught(ValueError("x"))
    observe(exc, SHOP, "call", ledger=ledger)
    for _ in range(20):
        observe(exc, GATE, "process_view", ledger=ledger)
    settle(span, ledger)
    (event,) = events(telemetry)
    assert event["everylayer.layer.name"] == "Shop"
    assert event["everylayer.layer.index"] == 1
    assert event["everylayer.layer.phase"] == "call"


def test_stock_use_span_five_deep(telemetry: Telemetry, request_of: Begin) -> None:
    span, ledger = request_of()

    def fail(depth: int) -> None:
        if depth:
            with trace.use_span(span):
                fail(depth - 1)
        try:
            raise ValueError("deep")
        except ValueError as exc:
            observe(exc, SHOP, ledger=ledger)
            raise

    with pytest.raises(ValueError, match="deep"):
        fail(5)
    settle(span, ledger)
    assert types(telemetry) == ["ValueError"]
    assert telemetry.spans[0].status.description == "deep"


@pytest.mark.parametrize("status", [200, 500])
def test_stock_start_as_current_span(
    telemetry: Telemetry, tracer: trace.Tracer, status: int
) -> None:
    ledger = Ledger(everylayer.Settings())
    with (
        contextlib.suppress(ValueError),
        tracer.start_as_current_span("GET /", kind=SpanKind.SERVER),
    ):
        try:
            raise ValueError("x")
        except ValueError as exc:
            observe(exc, SHOP, ledger=ledger)
            ledger.responded(status)
            ledger.close()
            raise
    assert types(telemetry) == ["ValueError"]
    assert telemetry.spans[0].status.is_unset is (status == 200)


def test_stock_with_span(telemetry: Telemetry, tracer: trace.Tracer) -> None:
    with contextlib.suppress(KeyboardInterrupt), tracer.start_span("GET /") as span:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as exc:
            with trace.use_span(span):
                observe(exc, SHOP)
            raise
    assert types(telemetry) == ["KeyboardInterrupt"]
    assert telemetry.spans[0].status.description == "KeyboardInterrupt"


MESSAGES = ["x", "", "two\nlines", "Ünïcode ✓ 𝄞", "bad \ud800 text", "a" * 10_000, "é" * 9_999]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: ascii(m)[:20])
def test_the_app_recorded_it_before(
    telemetry: Telemetry, request_of: Begin, caught: Catch, message: str
) -> None:
    span, ledger = request_of()
    exc = caught(ValueError(message))
    span.record_exception(exc)
    observe(exc, SHOP, ledger=ledger)
    settle(span, ledger)
    assert types(telemetry) == ["ValueError"]
    assert telemetry.spans[0].attributes["error.type"] == "ValueError"  # type: ignore[index]


def test_the_app_recorded_it_before_without_raising_it(
    telemetry: Telemetry, request_of: Begin
) -> None:
    span, ledger = request_of()
    exc = ValueError("never raised")
    span.record_exception(exc)
    observe(exc, SHOP, ledger=ledger)
    settle(span, ledger)
    assert types(telemetry) == ["ValueError"]


def test_another_error_recorded_before_is_another_error(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of()
    span.record_exception(caught(ValueError("other text")))
    try:
        raise ValueError("x")
    except ValueError as elsewhere:
        span.record_exception(elsewhere)
    observe(caught(ValueError("x")), SHOP, ledger=ledger)
    settle(span, ledger)
    assert len(types(telemetry)) == 3


def test_the_app_records_it_after(telemetry: Telemetry, request_of: Begin, caught: Catch) -> None:
    span, ledger = request_of()
    exc = caught(ValueError("x"))
    observe(exc, SHOP, ledger=ledger)
    span.record_exception(exc, {"order": 42}, timestamp=5)
    everylayer.record(exc)
    settle(span, ledger)
    (event,) = events(telemetry)
    assert event["order"] == 42
    assert event["everylayer.layer.name"] == "Shop"


def test_the_app_records_one_that_no_seam_saw(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of()
    observe(caught(ValueError("x")), SHOP, ledger=ledger)
    span.record_exception(caught(KeyError("y")), {"exception.message": "mine"}, timestamp=5)
    settle(span, ledger, 200)
    assert types(telemetry) == ["ValueError", "KeyError"]
    assert events(telemetry)[1]["exception.message"] == "mine"
    assert telemetry.spans[0].events[1].timestamp == 5


def test_recorded_by_hand_and_then_seen_again(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of()
    exc = caught(ValueError("x"))
    with trace.use_span(span):
        everylayer.record(exc, layer="stock check")
        everylayer.record(exc)
    observe(exc, SHOP, ledger=ledger)
    settle(span, ledger)
    (event,) = events(telemetry)
    assert event["everylayer.layer.name"] == "stock check"
    assert event["everylayer.handled"] is False


def test_a_translated_error_is_recorded_too(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of()
    first = caught(KeyError("sku"))
    observe(first, SHOP, ledger=ledger)
    second = RuntimeError("no such order")
    second.__cause__ = first
    observe(caught(second), GATE, ledger=ledger)
    settle(span, ledger)
    one, other = events(telemetry)
    assert (one["exception.type"], one["everylayer.layer.name"]) == ("KeyError", "Shop")
    assert (other["exception.type"], other["everylayer.layer.name"]) == ("RuntimeError", "Gate")
    assert other["everylayer.exception.chain"] == ("cause: KeyError",)
    assert "KeyError: 'sku'" in other["exception.stacktrace"]


@pytest.mark.parametrize("layers", [3, 40])
def test_the_same_converter_failing_at_each_layer_is_one_failure(
    telemetry: Telemetry, request_of: Begin, layers: int
) -> None:
    span, ledger = request_of()

    def convert() -> None:
        raise RuntimeError("error page is broken")

    def layer(depth: int) -> None:
        try:
            if depth:
                layer(depth - 1)
            raise ValueError("x")
        except Exception as exc:
            observe(exc, SHOP, ledger=ledger)
            convert()

    with pytest.raises(RuntimeError) as found:
        layer(layers)
    observe(found.value, GATE, ledger=ledger)
    settle(span, ledger)
    assert types(telemetry) == ["ValueError", "RuntimeError"]


def test_a_second_attempt_that_fails_alike_and_is_not_dealt_with_is_an_error(
    telemetry: Telemetry, request_of: Begin
) -> None:
    span, ledger = request_of()

    def attempt() -> None:
        raise ValueError("no")

    try:
        try:
            attempt()
        except ValueError as first:
            ledger.see(first, layer=SHOP, handled=True)
            attempt()
    except ValueError as second:
        ledger.see(second, layer=SHOP, handled=False)
    settle(span, ledger, 200)
    assert [event["everylayer.handled"] for event in events(telemetry)] == [True, False]


def test_two_errors_of_one_line_with_causes_of_their_own_are_two(
    telemetry: Telemetry, request_of: Begin
) -> None:
    span, ledger = request_of()

    def attempt(sku: str) -> None:
        try:
            raise KeyError(sku)
        except KeyError as exc:
            raise RuntimeError("try again") from exc

    for sku in ("a", "b"):
        try:
            attempt(sku)
        except RuntimeError as exc:
            observe(exc, SHOP, ledger=ledger)
    settle(span, ledger, 200)
    assert types(telemetry) == ["RuntimeError", "RuntimeError"]
    assert "'b'" in events(telemetry)[1]["exception.stacktrace"]


def test_two_errors_of_one_line_are_two(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of()
    for _ in range(2):
        observe(caught(ValueError("x")), SHOP, ledger=ledger)
    settle(span, ledger, 200)
    assert types(telemetry) == ["ValueError", "ValueError"]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="groups and notes came with 3.11")
class TestGroupsAndNotes:
    def test_a_group_is_one_event(
        self, telemetry: Telemetry, request_of: Begin, caught: Catch
    ) -> None:
        span, ledger = request_of()
        group = ExceptionGroup("both", [caught(KeyError("left")), caught(ValueError("right"))])
        observe(caught(group), SHOP, ledger=ledger)
        settle(span, ledger)
        (event,) = events(telemetry)
        assert event["exception.type"] == "ExceptionGroup"
        assert event["everylayer.exception.chain"] == ("member: KeyError", "member: ValueError")
        assert "KeyError: 'left'" in event["exception.stacktrace"]
        assert "ValueError: right" in event["exception.stacktrace"]

    def test_a_member_seen_before_its_group_is_its_own_event(
        self, telemetry: Telemetry, request_of: Begin, caught: Catch
    ) -> None:
        span, ledger = request_of()
        left = caught(KeyError("left"))
        observe(left, SHOP, ledger=ledger)
        observe(caught(ExceptionGroup("one", [left])), GATE, ledger=ledger)
        settle(span, ledger)
        assert types(telemetry) == ["KeyError", "ExceptionGroup"]

    def test_what_is_left_of_a_group_is_no_other_error(
        self, telemetry: Telemetry, request_of: Begin, caught: Catch
    ) -> None:
        span, ledger = request_of()
        inner = ExceptionGroup("inner", [ValueError("right"), KeyError("left")])
        group = caught(ExceptionGroup("both", [OSError("far"), inner]))
        observe(group, SHOP, ledger=ledger)
        _, rest = group.split(KeyError)  # type: ignore[attr-defined]
        observe(caught(rest), GATE, ledger=ledger)
        where = everylayer.trace_of(rest)
        ledger.responded(200)
        ledger.close(rest)
        span.end()
        (event,) = events(telemetry)
        assert event["everylayer.layer.name"] == "Shop"
        assert event["everylayer.handled"] is False
        assert where is not None
        assert where.span_id == format(span.get_span_context().span_id, "016x")

    @pytest.mark.parametrize(
        "other",
        [
            lambda group: ExceptionGroup("both", [group]),
            lambda group: ExceptionGroup("others", group.exceptions),
            lambda group: ExceptionGroup("both", [*group.exceptions, OSError("far")]),
        ],
    )
    def test_a_group_of_more_or_by_another_name_is_one_more(
        self, telemetry: Telemetry, request_of: Begin, caught: Catch, other: Any
    ) -> None:
        span, ledger = request_of()
        group = caught(ExceptionGroup("both", [KeyError("left")]))
        observe(group, SHOP, ledger=ledger)
        observe(caught(other(group)), GATE, ledger=ledger)
        settle(span, ledger)
        assert types(telemetry) == ["ExceptionGroup", "ExceptionGroup"]

    def test_a_note_added_on_the_way_out_is_shown(
        self, telemetry: Telemetry, request_of: Begin, caught: Catch
    ) -> None:
        span, ledger = request_of()
        exc = caught(ValueError("x"))
        observe(exc, SHOP, ledger=ledger)
        exc.add_note("tenant acme")  # type: ignore[attr-defined]
        observe(exc, GATE, ledger=ledger)
        settle(span, ledger)
        assert "tenant acme" in events(telemetry)[0]["exception.stacktrace"]


def test_the_longest_traceback_is_shown(telemetry: Telemetry, request_of: Begin) -> None:
    span, ledger = request_of()
    exc = ValueError("x")

    def inner() -> None:
        try:
            raise exc
        except ValueError:
            observe(exc, ledger=ledger)
            raise

    def outer() -> None:
        inner()

    with pytest.raises(ValueError, match="x"):
        outer()
    observe(exc, ledger=ledger)
    exc.__traceback__ = None
    observe(exc, ledger=ledger)
    settle(span, ledger)
    assert ", in outer" in events(telemetry)[0]["exception.stacktrace"]
    assert events(telemetry)[0]["code.function.name"].endswith("inner")


def test_a_traceback_given_by_the_seam(telemetry: Telemetry, request_of: Begin) -> None:
    span, ledger = request_of()
    try:
        raise ValueError("x")
    except ValueError as exc:
        tb, error = exc.__traceback__, exc.with_traceback(None)
    observe(error, SHOP, ledger=ledger, tb=tb)
    settle(span, ledger)
    assert "in test_a_traceback_given" in events(telemetry)[0]["exception.stacktrace"]
