"""Bounds: events a span, bytes of a message and a stack, and a count of what was left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry import trace

from contract.telemetry import Telemetry, error_events
from everylayer.error_record import build
from everylayer.layers import Layer
from everylayer.ledger import Ledger
from everylayer.observer import observe
from everylayer.settings import Settings

GATE = Layer("Gate", "middleware", 0)
DROPPED = "everylayer.exceptions.dropped"
Begin = Callable[..., tuple[trace.Span, Ledger]]
Catch = Callable[[BaseException], BaseException]


def finish(span: trace.Span, ledger: Ledger, status: int = 500) -> None:
    ledger.responded(status)
    ledger.close()
    span.end()


def messages(telemetry: Telemetry) -> list[str]:
    found = error_events(telemetry.spans)
    return [str((e.event.attributes or {})["exception.message"]) for e in found]


def attributes_of(telemetry: Telemetry) -> dict[str, Any]:
    return dict(telemetry.spans[-1].attributes or {})


@pytest.mark.parametrize(("errors", "kept"), [(8, 8), (9, 8), (16, 8), (40, 8)])
def test_eight_events_a_span_and_a_count(
    telemetry: Telemetry, request_of: Begin, caught: Catch, errors: int, kept: int
) -> None:
    span, ledger = request_of()
    for number in range(errors):
        observe(caught(ValueError(number)), GATE, ledger=ledger)
    finish(span, ledger)
    assert len(messages(telemetry)) == kept
    assert messages(telemetry)[0] == "0"
    assert attributes_of(telemetry).get(DROPPED, 0) == errors - kept


def test_the_number_is_a_setting(telemetry: Telemetry, request_of: Begin, caught: Catch) -> None:
    span, ledger = request_of(max_events=1)
    for number in range(3):
        observe(caught(ValueError(number)), GATE, ledger=ledger)
    finish(span, ledger)
    assert messages(telemetry) == ["0"]
    assert attributes_of(telemetry)[DROPPED] == 2


def test_an_error_is_kept_before_what_was_handled(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of(max_events=2)
    ledger.responded(200)
    for number in range(3):
        observe(caught(KeyError(number)), GATE, ledger=ledger)
    fatal = caught(ValueError("fatal"))
    observe(fatal, GATE, ledger=ledger)
    ledger.close(fatal)
    span.end()
    assert messages(telemetry) == ["0", "fatal"]
    assert telemetry.spans[0].status.description == "fatal"
    assert attributes_of(telemetry)[DROPPED] == 2


def test_the_last_error_of_a_flood_is_kept(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    """What the request dies of comes last: a flood before it must not crowd it out."""
    span, ledger = request_of(max_events=2)
    ledger.responded(200)
    for number in range(100):
        observe(caught(KeyError(number)), GATE, ledger=ledger)
    fatal = caught(ValueError("fatal"))
    observe(fatal, GATE, ledger=ledger)
    ledger.close(fatal)
    span.end()
    assert messages(telemetry) == ["0", "fatal"]
    assert attributes_of(telemetry)[DROPPED] == 99


def test_what_is_seen_twice_counts_once(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of(max_events=1)
    one, two = caught(ValueError(1)), caught(ValueError(2))
    for exc in (one, two, one, two, two, one):
        observe(exc, GATE, ledger=ledger)
    finish(span, ledger)
    assert attributes_of(telemetry)[DROPPED] == 1


def test_late_errors_are_bounded_too(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of(max_events=2)
    span.end()
    for number in range(5):
        observe(caught(ValueError(number)), GATE, ledger=ledger)
    ledger.close()
    assert messages(telemetry) == ["0", "1"]


def test_no_counter_where_nothing_was_left_out(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of()
    observe(caught(ValueError("x")), GATE, ledger=ledger)
    finish(span, ledger)
    assert DROPPED not in attributes_of(telemetry)


def test_ten_megabytes(telemetry: Telemetry, request_of: Begin, caught: Catch) -> None:
    span, ledger = request_of()
    observe(caught(ValueError("begin" + "x" * 10_000_000 + "end")), GATE, ledger=ledger)
    finish(span, ledger)
    (event,) = error_events(telemetry.spans)
    values = dict(event.event.attributes or {})
    for name, budget in (("exception.message", 4096), ("exception.stacktrace", 16384)):
        assert len(str(values[name]).encode()) <= budget
        assert str(values[name]).rstrip().endswith("end")
    assert str(values["exception.message"]).startswith("begin")
    assert len(telemetry.spans[0].status.description or "") <= 512


TEXT = st.builds(
    lambda part, times: part * times,
    st.text(st.characters(exclude_categories=()), max_size=50),
    st.integers(0, 600),
)


@given(
    text=TEXT,
    cause=TEXT,
    message=st.integers(64, 5000),
    stack=st.integers(256, 20_000),
)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_string_of_a_record_is_valid_and_within_its_budget(
    text: str, cause: str, message: int, stack: int
) -> None:
    rules = Settings(max_message_bytes=message, max_stack_bytes=stack)
    error = ValueError(text)
    error.__cause__ = KeyError(cause)
    built = build(error, None, rules, layer=GATE, phase="call", handled=False, time_ns=1)
    assert len(built.message.encode()) <= message
    assert len(built.stacktrace.encode()) <= stack
    assert [c.relation for c in built.causes] == ["cause"]
    assert len(built.causes[0].message.encode()) <= message
    assert built.description


def test_a_record_without_a_traceback_names_no_place() -> None:
    built = build(ValueError(), None, Settings(), layer=GATE, phase="", handled=True, time_ns=1)
    assert (built.function, built.file, built.line) == ("", "", 0)
    assert (built.message, built.description) == ("", "ValueError")
    assert built.causes == ()
    with pytest.raises(AttributeError):
        built.message = "x"  # type: ignore[misc]


def test_a_record_holds_no_live_object(caught: Catch) -> None:
    exc = caught(ValueError("x"))
    built = build(exc, exc.__traceback__, Settings(), layer=GATE, phase="", handled=True, time_ns=1)
    assert built.function.endswith("raise_and_catch")
    assert built.file.endswith("conftest.py")
    assert built.line > 0
    assert built.upstream is built.came is None
    plain = [value for value in built if value is not None]
    assert {type(value) for value in plain} <= {str, int, bool, tuple, Layer}


def test_at_most_sixteen_links_are_named(caught: Catch) -> None:
    first = error = ValueError(0)
    for number in range(1, 100):
        error.__cause__ = ValueError(number)
        error = error.__cause__  # type: ignore[assignment]
    built = build(first, None, Settings(), layer=GATE, phase="", handled=True, time_ns=1)
    assert len(built.causes) == 16
