"""Each question of a verdict, answered from spans alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from trial_values import (
    BROKEN,
    FAULT,
    OK,
    SERVER,
    TRACE,
    event,
    late,
    server,
    translated,
    trial,
    visit,
)

from everylayer.audit.model import Answer, Fault, SpanData, Trial, Verdict, Visit
from everylayer.audit.verdict import judge, server_span

BARE = (BROKEN, BROKEN)
HANDLED = {"everylayer__handled": True}
FAILED = {"everylayer__handled": False}
CUT = replace(OK, escaped="InjectedFault: injected by the audit: fault-1")
LATER = Fault("1", "teardown", "raised", "fault-1")


def questions(verdict: Verdict) -> dict[str, bool | None]:
    names = ("event", "message", "stack", "status", "once", "response", "context")
    return {name: getattr(verdict, name) for name in names}


def test_an_error_that_arrived_as_it_should() -> None:
    verdict = judge(FAULT, BARE, trial(server(event(**FAILED))))
    assert verdict.ok, verdict.why
    assert set(questions(verdict).values()) == {True}


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (visit("1", span=""), "; none is current here"),
        (visit("1", span="d" * 16, trace="e" * 32), "; one of another trace is current here"),
        (visit("1", recording=False), "; it has ended by then"),
    ],
)
def test_the_span_that_was_current_is_told(there: Visit, said: str) -> None:
    verdict = judge(FAULT, BARE, trial(server(), visits=(there,)))
    assert verdict.why[0] == f"no exception event on the server span{said}"


def test_a_layer_that_catches_what_it_raises_is_told_how_that_is_seen() -> None:
    fault = Fault("1", "after", "raised", "fault-1")
    once, twice = (visit("1", "after"),), (visit("1", "after"), visit("1", "after"))
    hint = "; the layer caught it itself, which the setting swallowed=monitor shows"
    for visits, arm, said in (
        (twice, "everylayer", hint),
        (once, "everylayer", ""),
        (twice, "stock", ""),
    ):
        found = trial(server(), fault=fault, visits=visits, arm=arm)
        why = judge(fault, BARE, found).why[0]
        assert why == f"no exception event on the server span{said}"


def test_a_fault_that_was_not_put_says_nothing() -> None:
    verdict = judge(FAULT, BARE, trial(reached=False))
    assert verdict == Verdict(reached=False)


INTERNAL = SpanData("send", TRACE, "d" * 16, SERVER, status="ERROR", events=(event(),))
OTHER_TRACE = replace(late(event()), trace_id="e" * 32)
RENAMED = event(exception__type="ValueError")
GROUP = event(exception__type="builtins.ExceptionGroup", exception__message="errors (1 sub)")

# name -> (trial, what is False, part of the first reason)
WRONG: dict[str, tuple[Trial, set[str], str]] = {
    "no server span": (trial(late(event())), {"event", "context"}, "no server span"),
    "nothing recorded": (trial(server()), {"event"}, "no exception event"),
    "another type": (trial(server(RENAMED)), {"event"}, "no exception event"),
    "on an inner span": (trial(server(), INTERNAL), {"event"}, "no exception event"),
    "in another trace": (trial(server(), OTHER_TRACE), {"event"}, "no exception event"),
    "a cut message": (
        trial(server(event(exception__message="inject", **FAILED))),
        {"message"},
        "message is not whole",
    ),
    "no stack": (
        trial(server(event(exception__stacktrace="", **FAILED))),
        {"stack"},
        "there is no stack",
    ),
    "another function's stack": (
        trial(server(event(exception__stacktrace='File "/srv/app/auth.py", in other', **FAILED))),
        {"stack"},
        "does not name dispatch",
    ),
    "twice": (trial(server(event(**FAILED), event(**FAILED))), {"once"}, "the error is there 2"),
    "on both spans": (trial(server(event()), late(event())), {"once"}, "the error is there 2"),
    "not marked": (
        trial(server(event(**FAILED), status="UNSET")),
        {"status"},
        "UNSET, though the response was 500",
    ),
    "no response, not marked": (
        trial(server(event(), status="UNSET"), answer=Answer(escaped=CUT.escaped)),
        {"status", "response"},
        "UNSET, though there was no response",
    ),
    "swallowed, marked": (
        trial(server(event(**HANDLED)), answer=OK),
        {"status", "response"},
        "ERROR, though the response was 200",
    ),
    "lost and marked": (
        trial(server(), answer=OK),
        {"event", "status", "response"},
        "no exception event",
    ),
    "swallowed, said to have failed": (
        trial(server(event(**FAILED), status="UNSET"), answer=OK),
        {"status", "response"},
        "its event is that of a failure",
    ),
    "late and not marked": (
        trial(server(status="UNSET"), late(event(), status="UNSET"), fault=LATER, answer=CUT),
        {"status", "response"},
        "the late span is UNSET, though the response was 200, and the error left the app",
    ),
    "own failure": (
        trial(server(event(**FAILED)), own_failures=2),
        set(),
        "everylayer itself failed, 2 times",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told(name: str) -> None:
    tried, false, why = WRONG[name]
    verdict = judge(FAULT, BARE, tried)
    assert {key for key, value in questions(verdict).items() if value is False} == false
    assert not verdict.ok
    assert why in verdict.why[0]


RIGHT: dict[str, tuple[Trial, Answer]] = {
    "swallowed": (trial(server(event(**HANDLED), status="UNSET"), answer=OK), OK),
    "a group": (trial(server(replace(GROUP, attributes={**GROUP.attributes}))), BROKEN),
    "late": (trial(server(status="UNSET"), late(event()), fault=LATER, answer=CUT), CUT),
    "late, while the span was held": (trial(server(event()), fault=LATER, answer=CUT), CUT),
    "late, and swallowed": (
        trial(server(event(**FAILED)), fault=LATER, answer=OK),
        OK,
    ),
    "a remote parent": (trial(server(event(), parent_id="f" * 16)), BROKEN),
    "stock, swallowed": (trial(server(event(), status="UNSET"), arm="stock", answer=OK), OK),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_is_left_alone(name: str) -> None:
    tried, bare = RIGHT[name]
    verdict = judge(tried.fault, (bare, bare), tried)
    assert verdict.ok, verdict.why


TRANSLATED = Fault("1", "before", "translated", "fault-1")


@pytest.mark.parametrize(
    ("events", "why"),
    [
        ([event(), translated()], ""),
        ([event()], "no exception event for what the fault was translated into"),
        ([translated()], "no exception event on the server span"),
        (
            [event(), translated(everylayer__exception__chain=[], exception__stacktrace="")],
            "does not name the fault",
        ),
        ([event(), translated(), translated()], "what it was translated into is there 2 times"),
    ],
    ids=["both", "the first alone", "the second alone", "not linked", "the second twice"],
)
def test_a_translated_error_has_two_events(events: list[Any], why: str) -> None:
    verdict = judge(TRANSLATED, BARE, trial(server(*events), fault=TRANSLATED, translated=True))
    assert why in "; ".join(verdict.why)
    assert verdict.ok == (not why)


def test_a_fault_that_no_layer_translated_has_one_event() -> None:
    assert judge(TRANSLATED, BARE, trial(server(event()), fault=TRANSLATED)).ok


def test_nothing_is_expected_of_a_cancellation() -> None:
    fault = replace(FAULT, error="cancelled")
    verdict = judge(fault, BARE, trial(server(status="UNSET"), fault=fault))
    assert verdict.ok
    assert verdict.event is None
    assert judge(fault, BARE, trial(server(), fault=fault, answer=OK)).response is False


def test_stock_may_change_the_response_and_everylayer_may_not() -> None:
    changed = replace(BROKEN, headers=(*BROKEN.headers, ("traceresponse", "00-1")))
    spans = server(event())
    stock = trial(spans, arm="stock", answer=changed)
    ours = trial(spans, answer=changed)
    assert judge(FAULT, BARE, stock).ok
    assert judge(FAULT, BARE, stock).response is False
    assert judge(FAULT, BARE, ours).why == ("the header traceresponse is another one",)
    # With stock beside it, the header is stock's.
    assert judge(FAULT, BARE, ours, stock).ok


def test_a_context_that_only_everylayer_loses_is_told() -> None:
    spans = server(event())
    ours = trial(spans, visits=[visit(span="")])
    assert judge(FAULT, BARE, ours).ok
    assert judge(FAULT, BARE, ours).context is False
    beside = judge(FAULT, BARE, ours, trial(spans, arm="stock"))
    assert "is not the current one here" in beside.why[0]
    assert judge(FAULT, BARE, ours, trial(spans, arm="stock", visits=[visit(span="")])).ok


def test_the_server_span_is_the_outermost() -> None:
    inner = server(span_id="9" * 16, parent_id=SERVER, start=12)
    outer = server()
    assert server_span([inner, outer]) is outer
    assert server_span([late()]) is None
