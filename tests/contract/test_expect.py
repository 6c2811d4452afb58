"""The oracle itself: it accepts the right trace and names each way of being wrong."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode

from contract import faults, telemetry
from contract.actions import ACTIONS, TRANSLATED_TYPE, Action, perform
from contract.expect import HANDLED, LATE, NOTHING, Expected, check, problems
from contract.faults import FAULTS, PLAIN, Fault, fault_site
from contract.telemetry import Telemetry

LAYER = {"everylayer.layer.name": "Tenant", "everylayer.layer.kind": "middleware"}


@pytest.fixture
def recorded() -> Iterator[Telemetry]:
    with telemetry.session() as session:
        yield session


def request(recorded: Telemetry, kind: SpanKind = SpanKind.SERVER) -> Span:
    """Return a request's span that is not the current one."""
    return recorded.provider.get_tracer("test").start_span("GET /", kind=kind)


def record(
    span: Span, fault: Fault = PLAIN, handled: bool = False, attributes: Mapping[str, Any] = LAYER
) -> None:
    """Write what everylayer is to write for `fault`."""
    try:
        fault_site(fault)
    except fault.cls as error:
        stack = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        span.add_event(
            "exception",
            {
                "exception.type": fault.type,
                "exception.message": str(error),
                "exception.stacktrace": stack,
                "code.function.name": "contract.faults.fault_site",
                "everylayer.handled": handled,
                **attributes,
            },
        )
        if not handled:
            span.set_status(StatusCode.ERROR, str(error) or type(error).__name__)
            span.set_attribute("error.type", fault.type)


WELL_BEHAVED = [
    fault
    for fault in FAULTS
    if not fault.hostile and not fault.departure and fault.name != "surrogates"
]


@pytest.mark.parametrize("fault", WELL_BEHAVED, ids=str)
def test_the_right_trace_passes(recorded: Telemetry, fault: Fault) -> None:
    span = request(recorded)
    record(span, fault)
    span.end()
    check(recorded.spans, fault, Expected(layer="Tenant", kind="middleware"))


def test_a_handled_error_passes_as_handled_only(recorded: Telemetry) -> None:
    span = request(recorded)
    record(span, handled=True)
    span.end()
    check(recorded.spans, PLAIN, HANDLED)
    assert len(problems(recorded.spans, PLAIN, Expected())) == 2


def test_a_late_error_must_be_on_a_late_span_of_the_trace(recorded: Telemetry) -> None:
    parent = request(recorded)
    parent.end()
    tracer = recorded.provider.get_tracer("test")
    child = tracer.start_span("Tenant (late)", trace.set_span_in_context(parent))
    record(child)
    child.end()
    check(recorded.spans, PLAIN, LATE)
    assert problems(recorded.spans, PLAIN, Expected()) == ["the event is on 'Tenant (late)'"]


def test_problems_are_named(recorded: Telemetry) -> None:
    span = request(recorded)
    record(span)
    span.end()
    spans = recorded.spans
    other = Fault("other", PLAIN.make, KeyError, "other")
    worded = Fault("worded", PLAIN.make, ValueError, "other")
    shown = Fault("shown", PLAIN.make, ValueError, "plain fault", shows=("KeyError",))
    hidden = Fault("hidden", PLAIN.make, ValueError, "plain fault", hides=("ValueError",))

    def only(fault: Fault, expected: Expected) -> str:
        found = problems(spans, fault, expected)
        return " | ".join(found)

    assert "0 events of KeyError" in only(other, Expected())
    assert "message 'plain fault', expected 'other'" in only(worded, Expected())
    assert "stack does not name 'KeyError'" in only(shown, Expected())
    assert "stack gives away 'ValueError'" in only(hidden, Expected())
    assert "everylayer.layer.name is 'Tenant'" in only(PLAIN, Expected(layer="View"))
    assert "status of 'GET /' is ERROR" in only(PLAIN, Expected(status="UNSET"))
    assert "other events []" in only(PLAIN, Expected(also=("KeyError",)))
    assert "expected a late span" in only(PLAIN, LATE)
    assert "unwanted event ValueError" in only(PLAIN, NOTHING)


def test_twice_is_once_too_often(recorded: Telemetry) -> None:
    span = request(recorded)
    record(span)
    record(span)
    span.end()
    assert problems(recorded.spans, PLAIN, Expected()) == [
        "2 events of ValueError, expected exactly 1"
    ]


def test_what_only_everylayer_writes_can_be_left_out(recorded: Telemetry) -> None:
    span = request(recorded)
    record(span, attributes={"exception.escaped": "False"})
    span.end()
    assert problems(recorded.spans, PLAIN, Expected(), ours=False) == []
    assert problems(recorded.spans, PLAIN, Expected()) == [
        "the deprecated exception.escaped is set",
        "no layer is named",
    ]


def test_the_failure_shows_the_trace(recorded: Telemetry) -> None:
    span = request(recorded, SpanKind.INTERNAL)
    record(span)
    span.end()
    with pytest.raises(AssertionError, match=r"0 server spans(.|\n)*GET / \[INTERNAL\] ERROR"):
        check(recorded.spans, PLAIN, Expected())


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_every_fault_is_raised_where_it_says(fault: Fault) -> None:
    with pytest.raises(fault.cls) as caught:
        fault_site(fault)
    *_, (innermost, _) = traceback.walk_tb(caught.tb)
    assert innermost.f_code.co_name == faults.RAISING_FUNCTION


@pytest.mark.parametrize("action", ACTIONS, ids=str)
def test_actions_do_what_they_say(action: Action) -> None:
    def proceed() -> int:
        return 204 if action.raises else fault_site(PLAIN)

    expected = action.expected(PLAIN)
    if action.recovers(PLAIN):
        assert perform(action, PLAIN, proceed, lambda status: status) == action.answer
        assert expected.handled is (action.answer is not None and action.answer < 500)
        return
    with pytest.raises(Exception, match=r"plain fault|translated") as caught:
        perform(action, PLAIN, proceed, lambda status: status)
    assert expected.status == "ERROR"
    assert (expected.also == (TRANSLATED_TYPE,)) is (caught.type is not ValueError)
