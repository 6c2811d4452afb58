"""The demo's verdicts: a kept error, and each way to lose one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from showcase.cases import CASES, Case
from showcase.client import Answer
from showcase.judge import judge
from showcase.receiver import Event, Span
from showcase.report import Row, totals

CASE = Case("layer", ("stock",), "shop.errors.OutOfStock", "no tea is left", "stock", "/stock/tea")
EVENT = Event(
    "exception",
    {
        "exception.type": "shop.errors.OutOfStock",
        "exception.message": "no tea is left",
        "exception.stacktrace": 'File "views.py", line 1, in stock\n  raise',
        "everylayer.layer.name": "stock",
    },
)
SERVER = Span("t", "1", "", "GET /stock/tea", "SERVER", "ERROR", "no tea is left", 1, 2, (EVENT,))
FAILED = Answer(500)
REFUSED = Answer(409)
CUT = Answer(200, complete=False)
CLOSED = Answer(0, complete=False)


def altered(**changes: str) -> Span:
    """Return the server span with other attributes on its event."""
    renamed = {name.replace("_", "."): value for name, value in changes.items()}
    return replace(SERVER, events=(Event("exception", {**EVENT.attributes, **renamed}),))


@pytest.mark.parametrize(
    ("answer", "spans"),
    [
        (FAILED, [SERVER]),
        (CLOSED, [SERVER]),
        (CUT, [SERVER]),
        (REFUSED, [replace(SERVER, status="UNSET")]),
        (
            CUT,
            [
                replace(SERVER, status="UNSET", events=()),
                replace(SERVER, kind="INTERNAL", name="report (late)", parent_id="1"),
            ],
        ),
    ],
    ids=["failed", "closed", "cut", "handled", "late"],
)
def test_kept(answer: Answer, spans: list[Span]) -> None:
    verdict = judge(CASE, answer, spans)
    assert verdict.kept, verdict.shows


@pytest.mark.parametrize(
    ("answer", "spans", "shows"),
    [
        (FAILED, [], "no span"),
        (FAILED, [replace(SERVER, kind="INTERNAL")], "no server span"),
        (FAILED, [SERVER, replace(SERVER, span_id="2")], "2 server spans"),
        (FAILED, [replace(SERVER, events=())], "ERROR, no exception"),
        (REFUSED, [replace(SERVER, events=(), status="UNSET")], "no error, no exception"),
        (FAILED, [altered(exception_type="ValueError")], "ERROR, no exception"),
        (FAILED, [altered(exception_message="?")], "event, but other message"),
        (FAILED, [altered(exception_stacktrace="")], "event, but no stock() in the stack"),
        (
            FAILED,
            [altered(everylayer_layer_name="view")],
            "event, but layer named view, not stock",
        ),
        (FAILED, [replace(SERVER, events=(EVENT, EVENT))], "event, but 2 times"),
        (FAILED, [replace(SERVER, status="UNSET")], "event, but not marked ERROR"),
        (CUT, [replace(SERVER, status="UNSET")], "event, but not marked ERROR"),
        (REFUSED, [SERVER], "event, but marked ERROR, answered 409"),
        (
            FAILED,
            [SERVER, replace(SERVER, kind="INTERNAL", name="x (late)", span_id="2")],
            "event, but 2 times",
        ),
        (
            FAILED,
            [replace(SERVER, events=()), replace(SERVER, kind="INTERNAL", span_id="2")],
            "ERROR, no exception",
        ),
    ],
)
def test_lost(answer: Answer, spans: list[Span], shows: str) -> None:
    verdict = judge(CASE, answer, spans)
    assert not verdict.kept
    assert verdict.shows == shows


def test_after_the_answer_an_error_is_an_error_whatever_was_answered() -> None:
    late = replace(CASE, after=True)
    assert judge(late, Answer(200), [SERVER]).kept
    assert not judge(late, Answer(200), [replace(SERVER, status="UNSET")]).kept


def test_totals_count_what_is_lost_and_what_differs() -> None:
    kept = judge(CASE, FAILED, [SERVER])
    nothing = judge(CASE, FAILED, [])
    twice = judge(CASE, FAILED, [replace(SERVER, events=(EVENT, EVENT))])
    rows = [Row(CASE, FAILED, FAILED, nothing, kept), Row(CASE, FAILED, REFUSED, twice, kept)]
    assert totals(rows) == (
        "lost by stock 2 of 2 (1 of them with an event that is wrong), "
        "with everylayer 0 of 2; 1 responses differ"
    )


@pytest.mark.parametrize("shop", CASES)
def test_cases_differ(shop: str) -> None:
    layers = [case.layer for case in CASES[shop]]
    assert len(layers) >= 6
    assert len(set(layers)) == len(layers)
    assert len(set(CASES[shop])) == len(layers)
