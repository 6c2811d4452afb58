"""Whatever an exception does to whoever looks at it: recorded once, and the app unharmed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind

import everylayer
from contract.expect import Expected, check
from contract.faults import DEPARTURES, FAULTS, PLAIN, Fault, fault_site
from contract.telemetry import Telemetry, error_events
from everylayer import writer
from everylayer.error_record import build
from everylayer.layers import Layer
from everylayer.ledger import Ledger
from everylayer.observer import observe
from everylayer.sinks import span_event

GATE = Layer("Gate", "middleware", 0)
Begin = Callable[..., tuple[trace.Span, Ledger]]
Catch = Callable[[BaseException], BaseException]
ERRORS = [fault for fault in FAULTS if not fault.departure]


def messages(telemetry: Telemetry) -> list[Any]:
    found = error_events(telemetry.spans)
    return [(e.event.attributes or {})["exception.message"] for e in found]


def seen(fault: Fault, ledger: Ledger) -> BaseException:
    try:
        fault_site(fault)
    except BaseException as exc:
        observe(exc, GATE, "call", ledger=ledger)
        return exc


@pytest.mark.parametrize("fault", ERRORS, ids=str)
@pytest.mark.parametrize("status", [None, 200, 500])
def test_any_error_is_recorded(
    telemetry: Telemetry, request_of: Begin, fault: Fault, status: int | None
) -> None:
    span, ledger = request_of()
    exc = seen(fault, ledger)
    if status is not None:
        ledger.responded(status)
    ledger.close(exc if status is None else None)
    span.end()
    handled = status == 200
    expected = Expected(
        status="UNSET" if handled else "ERROR", handled=handled, layer="Gate", phase="call"
    )
    check(telemetry.spans, fault, expected)


@pytest.mark.parametrize("fault", ERRORS, ids=str)
def test_any_error_may_come_late(telemetry: Telemetry, request_of: Begin, fault: Fault) -> None:
    span, ledger = request_of()
    span.end()
    seen(fault, ledger)
    ledger.close()
    check(telemetry.spans, fault, Expected(late=True, layer="Gate", server_status="UNSET"))


@pytest.mark.parametrize("fault", DEPARTURES, ids=str)
@pytest.mark.parametrize("status", [None, 200, 500])
def test_a_departure_is_silent(
    telemetry: Telemetry, request_of: Begin, fault: Fault, status: int | None
) -> None:
    span, ledger = request_of()
    exc = seen(fault, ledger)
    if status is not None:
        ledger.responded(status)
    ledger.close(exc)
    span.end()
    check(telemetry.spans, fault, Expected(event=False, status="UNSET"))


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_stock_around_a_seam_passes_the_same_object_on(
    telemetry: Telemetry, tracer: trace.Tracer, fault: Fault
) -> None:
    raised: list[BaseException] = []
    got: list[BaseException] = []

    def app() -> None:
        with tracer.start_as_current_span("GET /", kind=SpanKind.SERVER):
            try:
                fault_site(fault)
            except BaseException as exc:
                raised.append(exc)
                observe(exc, GATE)
                raise

    try:
        app()
    except BaseException as exc:
        got.append(exc)
    assert got[0] is raised[0]
    if not fault.departure:
        check(telemetry.spans, fault, Expected(layer="Gate"))


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_anything_can_be_recorded_by_hand(
    telemetry: Telemetry, tracer: trace.Tracer, fault: Fault
) -> None:
    with tracer.start_as_current_span("work"):
        everylayer.record(fault.make())
    departed = fault.cls is GeneratorExit
    assert len(error_events(telemetry.spans)) == (0 if departed else 1)


class Meta(type):
    def __getattribute__(cls, name: str) -> Any:
        raise RuntimeError(f"{name} is broken")

    def __instancecheck__(cls, instance: object) -> bool:
        raise RuntimeError("isinstance is broken")


class HiddenError(Exception, metaclass=Meta):
    pass


def test_a_hostile_metaclass(telemetry: Telemetry, request_of: Begin) -> None:
    span, ledger = request_of(ignored=["shop.Sold"], expected=["shop.Late"])
    try:
        raise type.__call__(HiddenError, "hidden")
    except Exception as exc:
        observe(exc, GATE, ledger=ledger)
        observe(exc, ledger=ledger)
    ledger.responded(500)
    ledger.close()
    span.end()
    (event,) = error_events(telemetry.spans)
    assert str((event.event.attributes or {})["exception.type"]).endswith("HiddenError")
    assert (event.event.attributes or {})["exception.message"] == "hidden"


def test_what_cannot_be_built_costs_no_other_error(
    telemetry: Telemetry,
    request_of: Begin,
    caught: Catch,
    monkeypatch: pytest.MonkeyPatch,
    failures: dict[str, int],
) -> None:
    def sometimes(exc: BaseException, *args: Any, **kwargs: Any) -> Any:
        if isinstance(exc, KeyError):
            raise RuntimeError("cannot be built")
        return build(exc, *args, **kwargs)

    monkeypatch.setattr(writer, "build", sometimes)
    span, ledger = request_of()
    for exc in (OSError("one"), KeyError("two"), ValueError("three")):
        observe(caught(exc), GATE, ledger=ledger)
    ledger.responded(500)
    ledger.close()
    span.end()
    assert messages(telemetry) == ["one", "three"]
    assert sum(failures.values()) == 1


def test_what_cannot_be_written_costs_no_other_error(
    telemetry: Telemetry,
    request_of: Begin,
    caught: Catch,
    monkeypatch: pytest.MonkeyPatch,
    failures: dict[str, int],
) -> None:
    write = span_event.write

    def sometimes(span: Any, record: Any, extra: Any) -> None:
        if record.type == "KeyError":
            raise RuntimeError("cannot be written")
        write(span, record, extra)

    monkeypatch.setattr(span_event, "write", sometimes)
    span, ledger = request_of()
    for exc in (OSError("one"), KeyError("two"), ValueError("three")):
        observe(caught(exc), GATE, ledger=ledger)
    ledger.responded(500)
    ledger.close()
    span.end()
    assert messages(telemetry) == ["one", "three"]
    assert telemetry.spans[0].status.description == "one"
    assert sum(failures.values()) == 1


def test_attributes_that_are_no_mapping_do_not_cost_the_event(
    telemetry: Telemetry, request_of: Begin, caught: Catch, failures: dict[str, int]
) -> None:
    span, ledger = request_of()
    exc = caught(ValueError("x"))
    observe(exc, GATE, ledger=ledger)
    span.record_exception(exc, attributes=7)  # type: ignore[arg-type]
    span.record_exception("no exception")  # type: ignore[arg-type]
    ledger.responded(500)
    ledger.close()
    span.end()
    assert telemetry.spans[0].status.description == "x"


def test_the_end_of_a_span_cannot_fail_for_us(
    telemetry: Telemetry,
    request_of: Begin,
    caught: Catch,
    monkeypatch: pytest.MonkeyPatch,
    failures: dict[str, int],
) -> None:
    monkeypatch.setattr(writer, "write", lambda *args: 1 / 0)
    span, ledger = request_of()
    observe(caught(ValueError("x")), GATE, ledger=ledger)
    span.end()
    ledger.close()
    assert len(telemetry.spans) == 1
    assert sum(failures.values()) == 1


def test_a_ledger_that_cannot_tell_does_not_hold_a_span(
    telemetry: Telemetry,
    request_of: Begin,
    caught: Catch,
    monkeypatch: pytest.MonkeyPatch,
    failures: dict[str, int],
) -> None:
    span, ledger = request_of()
    observe(caught(ValueError("x")), GATE, ledger=ledger)
    monkeypatch.setattr(Ledger, "undecided", lambda self: 1 / 0)
    span.end()
    assert len(telemetry.spans) == 1


@pytest.mark.parametrize("value", [None, 7, "text", ValueError])
def test_what_is_no_exception_is_survived(
    telemetry: Telemetry, request_of: Begin, failures: dict[str, int], value: Any
) -> None:
    span, ledger = request_of()
    with contextlib.nullcontext():
        observe(value, GATE, ledger=ledger)
        everylayer.record(value)
    ledger.close()
    span.end()
    assert error_events(telemetry.spans) == []
    assert PLAIN.is_exception


class Down(Exception):
    """One whose text asks what is down, for as long as somebody answers."""

    patience = 200
    asked = 0

    def __str__(self) -> str:
        Down.asked += 1
        if Down.asked > self.patience:
            return "no end"
        try:
            raise Down
        except Down as exc:
            everylayer.record(exc)
        return "down"


def test_a_text_that_records_another_error_with_such_a_text_comes_to_an_end(
    telemetry: Telemetry,
    tracer: trace.Tracer,
    failures: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Down, "asked", 0)
    span = tracer.start_span("GET /", kind=SpanKind.SERVER)
    span.end()
    with trace.use_span(span):
        everylayer.record(Down())
    assert Down.asked < Down.patience
    found = messages(telemetry)
    # That of the error itself, and those of what its text has recorded.
    assert found == ["down"] * len(found)
    assert 1 < len(found) < Down.patience
    assert list(failures) == ["everylayer.ledger.Ledger.flush"]
