"""The span's status: ERROR by the outcome, described once, never against the app's own word."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode

from contract.faults import BrokenStrError
from contract.telemetry import Telemetry, error_events
from everylayer.layers import Layer
from everylayer.ledger import Ledger
from everylayer.observer import observe

GATE = Layer("Gate", "middleware", 0)
Begin = Callable[..., tuple[trace.Span, Ledger]]
Catch = Callable[[BaseException], BaseException]


def stock(code: str, **names: Any) -> None:
    """Run `code` as an instrumentation would: from a module of OpenTelemetry's."""
    exec(code, {"__name__": "opentelemetry.instrumentation.shop", **names})


def finish(telemetry: Telemetry, span: trace.Span, ledger: Ledger, status: int | None) -> Any:
    if status is not None:
        ledger.responded(status)
    ledger.close()
    span.end()
    return telemetry.spans[-1]


@pytest.mark.parametrize(
    ("status", "failed"),
    [
        (200, False),
        (302, False),
        (404, False),
        (499, False),
        (500, True),
        (503, True),
        (None, True),
    ],
)
def test_the_response_decides(
    telemetry: Telemetry, request_of: Begin, caught: Catch, status: int | None, failed: bool
) -> None:
    span, ledger = request_of()
    observe(caught(ValueError("x")), GATE, ledger=ledger)
    done = finish(telemetry, span, ledger, status)
    assert (done.status.status_code is StatusCode.ERROR) is failed
    assert done.status.description == ("x" if failed else None)
    assert done.attributes.get("error.type") == ("ValueError" if failed else None)
    assert done.attributes.get("everylayer.layer.name") == ("Gate" if failed else None)
    (event,) = error_events(telemetry.spans)
    assert event.event.attributes["everylayer.handled"] is not failed  # type: ignore[index]


@pytest.mark.parametrize("key", ["http.status_code", "http.response.status_code"])
@pytest.mark.parametrize(("status", "failed"), [(200, False), (500, True)])
def test_the_status_that_stock_wrote_is_the_final_one(
    telemetry: Telemetry, request_of: Begin, caught: Catch, key: str, status: int, failed: bool
) -> None:
    """A layer outside our seam answered: stock, outside of both, knows."""
    span, ledger = request_of()
    observe(caught(ValueError("x")), GATE, ledger=ledger)
    span.set_attribute(key, status)
    done = finish(telemetry, span, ledger, 200 if failed else None)
    assert (done.status.status_code is StatusCode.ERROR) is failed


def test_a_status_attribute_that_is_no_number_is_passed_over(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of()
    observe(caught(ValueError("x")), GATE, ledger=ledger)
    span.set_attribute("http.status_code", "200 OK")
    assert not finish(telemetry, span, ledger, 500).status.is_ok


@pytest.mark.parametrize(
    ("message", "description"),
    [
        ("x", "x"),
        ("", "ValueError"),
        (" \n ", "ValueError"),
        ("bad \ud800", "bad \\ud800"),
        ("a" * 400 + "é" * 400, "a" * 255 + "…" + "é" * 256),
    ],
)
def test_description(
    telemetry: Telemetry, request_of: Begin, caught: Catch, message: str, description: str
) -> None:
    span, ledger = request_of()
    observe(caught(ValueError(message)), GATE, ledger=ledger)
    assert finish(telemetry, span, ledger, 500).status.description == description


def test_the_budget_of_the_description_is_a_setting(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of(max_description_chars=16)
    observe(caught(ValueError("a" * 100)), GATE, ledger=ledger)
    assert len(finish(telemetry, span, ledger, 500).status.description) == 16


def test_the_first_error_describes_the_failure(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of()
    observe(caught(KeyError("first")), GATE, ledger=ledger)
    observe(caught(ValueError("second")), Layer("Outer", "middleware"), ledger=ledger)
    done = finish(telemetry, span, ledger, 500)
    assert done.status.description == "'first'"
    assert done.attributes["error.type"] == "KeyError"
    assert done.attributes["everylayer.layer.name"] == "Gate"


@pytest.mark.parametrize("when", ["before", "after", "at the end"])
@pytest.mark.parametrize("how", ["Status(ERROR)", "ERROR", "ERROR, ''"])
def test_a_later_error_without_description_erases_nothing(
    telemetry: Telemetry, request_of: Begin, caught: Catch, when: str, how: str
) -> None:
    span, ledger = request_of()
    code = f"span.set_status({how})"
    names = {"span": span, "Status": Status, "ERROR": StatusCode.ERROR}
    if when == "before":
        stock(code, **names)
    observe(caught(ValueError("x")), GATE, ledger=ledger)
    if when == "after":
        stock(code, **names)
    ledger.responded(500)
    if when == "at the end":
        ledger.close()
        stock(code, **names)
    assert finish(telemetry, span, ledger, None).status.description == "x"


def test_a_description_by_the_app_is_not_erased_by_stock(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of()
    observe(caught(ValueError("x")), GATE, ledger=ledger)
    span.set_status(StatusCode.ERROR, "the shop burns")
    for code in ("span.set_status(ERROR)", "span.set_status(ERROR, '')"):
        stock(code, span=span, ERROR=StatusCode.ERROR)
    done = finish(telemetry, span, ledger, 500)
    assert done.status.description == "the shop burns"
    assert done.attributes["error.type"] == "ValueError"
    assert done.attributes["everylayer.layer.name"] == "Gate"


@pytest.mark.parametrize("before", [True, False])
def test_ok_by_the_app_is_kept(
    telemetry: Telemetry, request_of: Begin, caught: Catch, before: bool
) -> None:
    span, ledger = request_of()
    if before:
        span.set_status(StatusCode.OK)
    observe(caught(ValueError("x")), GATE, ledger=ledger)
    if not before:
        span.set_status(StatusCode.OK)
    done = finish(telemetry, span, ledger, 500)
    assert done.status.status_code is StatusCode.OK
    assert len(done.events) == 1


@pytest.mark.parametrize("before", [True, False])
def test_error_by_the_app_stands_for_a_handled_error(
    telemetry: Telemetry, request_of: Begin, caught: Catch, before: bool
) -> None:
    span, ledger = request_of()
    exc = caught(ValueError("x"))
    if before:
        span.set_status(StatusCode.ERROR, "ValueError: x")
    observe(exc, GATE, ledger=ledger)
    if not before:
        span.set_status(StatusCode.ERROR, "ValueError: x")
    assert finish(telemetry, span, ledger, 200).status.description == "ValueError: x"


STOCK_FAILS = (
    "span.record_exception(exc); span.set_status(Status(ERROR, f'{type(exc).__name__}: {exc}'))"
)


@pytest.mark.parametrize(("status", "description"), [(200, None), (404, None), (500, "x")])
def test_stock_marking_a_known_exception_waits_for_the_outcome(
    telemetry: Telemetry,
    request_of: Begin,
    caught: Catch,
    status: int,
    description: str | None,
) -> None:
    span, ledger = request_of()
    exc = caught(ValueError("x"))
    observe(exc, GATE, ledger=ledger)
    stock(STOCK_FAILS, span=span, exc=exc, Status=Status, ERROR=StatusCode.ERROR)
    done = finish(telemetry, span, ledger, status)
    assert done.status.description == description
    assert done.status.is_unset is (description is None)
    assert len(done.events) == 1


def test_stock_marking_something_else_is_passed_on(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of()
    observe(caught(ValueError("x")), GATE, ledger=ledger)
    stock("span.set_status(ERROR, 'quota')", span=span, ERROR=StatusCode.ERROR)
    assert finish(telemetry, span, ledger, 200).status.description == "quota"


@pytest.mark.parametrize("message", ["x", "m" * 3000, "m" * 100_000])
def test_a_description_by_stock_from_before_is_made_bounded(
    telemetry: Telemetry, request_of: Begin, caught: Catch, message: str
) -> None:
    span, ledger = request_of()
    exc = caught(ValueError(message))
    stock(STOCK_FAILS, span=span, exc=exc, Status=Status, ERROR=StatusCode.ERROR)
    observe(exc, GATE, ledger=ledger)
    done = finish(telemetry, span, ledger, 500)
    assert len(done.status.description) <= 512
    assert done.status.description.strip("m…") in ("", "x")
    assert len(done.events) == 1


def test_a_hostile_exception_does_not_break_stock(telemetry: Telemetry, request_of: Begin) -> None:
    span, ledger = request_of()
    error = BrokenStrError()

    def layer() -> None:
        with trace.use_span(span):
            try:
                raise error
            except BrokenStrError as exc:
                observe(exc, GATE, ledger=ledger)
                assert span.is_recording()
                raise

    with pytest.raises(BrokenStrError) as found:
        layer()
    assert found.value is error
    assert span.is_recording()
    done = finish(telemetry, span, ledger, 500)
    assert "whose str() raises" in done.status.description
    assert len(done.events) == 1


def test_another_exception_on_a_shielded_span_is_stocks_to_format(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of()
    observe(caught(BrokenStrError()), GATE, ledger=ledger)
    with pytest.raises(KeyError), trace.use_span(span):
        raise KeyError("sku")
    done = finish(telemetry, span, ledger, 500)
    assert [dict(e.attributes or {})["exception.message"] for e in done.events] == [
        "<contract.faults.BrokenStrError whose str() raises>",
        "'sku'",
    ]


@pytest.mark.parametrize("how", [(StatusCode.UNSET,), (Status(StatusCode.UNSET),)])
def test_unset_changes_nothing(
    telemetry: Telemetry, request_of: Begin, caught: Catch, how: tuple[Any, ...]
) -> None:
    span, ledger = request_of()
    observe(caught(ValueError("x")), GATE, ledger=ledger)
    span.set_status(*how)
    assert finish(telemetry, span, ledger, 500).status.description == "x"


def test_what_the_instrumentation_of_aiohttp_says_of_an_error_is_no_word_of_the_app(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of()
    observe(caught(ValueError("x")), GATE, ledger=ledger)
    failed = Status(StatusCode.ERROR, "Non-integer HTTP status: ValueError")
    stock("span.set_status(failed)", span=span, failed=failed)
    assert finish(telemetry, span, ledger, 200).status.status_code is StatusCode.UNSET


def test_of_another_error_it_stands(telemetry: Telemetry, request_of: Begin, caught: Catch) -> None:
    span, ledger = request_of()
    observe(caught(ValueError("x")), GATE, ledger=ledger)
    failed = Status(StatusCode.ERROR, "Non-integer HTTP status: KeyError")
    stock("span.set_status(failed)", span=span, failed=failed)
    assert finish(telemetry, span, ledger, 200).status.description == failed.description
