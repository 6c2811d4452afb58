"""What an audit meets on the way, told from its trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from trial_values import BROKEN, LOOK, OK, node, server, trial, visit

from everylayer.audit import response
from everylayer.audit.hazards import find_hazards
from everylayer.audit.model import Answer, Fault, Finding, Phase, Row, Trial

CHAIN = (
    node("0", "Outer"),
    node("1", "Recovery"),
    node("2", "SessionMiddleware"),
    node("3", "view", "endpoint", ("before", "stream")),
    node("4", "answer_error", "handler", ("before",)),
)
VISITS = [visit(each) for each in "0123"] + [visit(each, "after") for each in "210"]
LOOKED = trial(fault=LOOK, answer=OK, visits=VISITS, arm="bare")


def bare(node_id: str, answer: Answer, phase: Phase = "before", **changes: Any) -> Trial:
    fault = Fault(node_id, phase, "raised", f"fault-{node_id}-{phase}")
    return trial(arm="bare", fault=fault, answer=answer, visits=VISITS, **changes)


def findings(
    tried: Sequence[Trial], look: Trial = LOOKED, stock: Trial | None = None
) -> list[Finding]:
    rows = [Row(each.fault, each.answer) for each in tried]
    looks = {"bare": look, **({"stock": stock} if stock else {})}
    return find_hazards(CHAIN, rows, {each.fault: each for each in tried}, looks)  # type: ignore[arg-type]


def with_hazards(answer: Answer, *hazards: str) -> Answer:
    return replace(answer, hazards=hazards)


def test_a_sound_app_has_none() -> None:
    assert findings([bare(each, BROKEN) for each in "0123"]) == []


def test_breaches_are_told_once_with_the_fault_that_shows_them() -> None:
    twice = with_hazards(BROKEN, response.STARTED_TWICE)
    tried = [bare("1", BROKEN), bare("2", twice), bare("3", twice, "stream")]
    (found,) = findings(tried)
    assert found.kind == "started-twice"
    said = "when SessionMiddleware fails (before) and another layer answers that"
    assert found.text == f"{response.STARTED_TWICE}, {said}"
    # Not where that one is: it has not answered.
    assert (found.node, found.where) == ("2", "")
    assert found.remedy


def test_a_breach_without_any_fault_is_told_as_such() -> None:
    late = with_hazards(OK, response.HEADERS_LATE)
    (found,) = findings([bare("0", BROKEN)], replace(LOOKED, answer=late))
    assert (found.kind, found.node) == ("header-after-start", "")
    assert found.text.endswith("without any fault")


def test_a_fault_put_after_the_start_is_no_breach_of_the_apps() -> None:
    cut = with_hazards(replace(OK, escaped="InjectedFault: x"), response.AFTER_START)
    assert findings([bare("3", cut, "stream")]) == []
    # Starlette answers an error and hands it on to the server.
    assert findings([bare("2", replace(cut, status=500))]) == []
    (found,) = findings([bare("2", cut)])
    assert found.kind == "exception-after-start"


def test_a_layer_that_hides_errors_is_named() -> None:
    tried = [bare("0", BROKEN), bare("1", BROKEN), bare("2", OK), bare("3", OK)]
    (found,) = findings(tried)
    assert (found.kind, found.node) == ("error-hidden", "1")
    assert found.text == "Recovery answers 200 where SessionMiddleware, view fail"


def test_a_handler_that_hides_errors_is_named_before_a_layer() -> None:
    tried = [bare("0", BROKEN), bare("1", BROKEN), bare("2", BROKEN)]
    handled = bare("3", OK)
    tried.append(replace(handled, visits=(*handled.visits, visit("4"))))
    (found,) = findings(tried)
    assert (found.kind, found.node) == ("error-hidden", "4")


def test_an_error_that_escapes_after_its_start_is_not_hidden() -> None:
    assert findings([bare("0", replace(OK, escaped="InjectedFault: x"))]) == []


def test_an_app_that_fails_anyway_hides_nothing() -> None:
    assert findings([bare("3", OK)], replace(LOOKED, answer=BROKEN)) == []


def test_who_returns_from_a_cancellation_has_caught_it() -> None:
    out = [replace(visit(node, "after"), at="shop.py:__call__") for node in ("1", "0")]
    seen = [visit("0"), visit("1"), visit("3"), *out]
    caught = bare("3", OK)
    fault = replace(caught.fault, error="cancelled")
    caught = replace(caught, fault=fault, visits=tuple(seen))
    (found,) = findings([caught])
    assert (found.kind, found.node) == ("cancelled-caught", "1")
    for escaped in ("CancelledError: injected", "RuntimeError: No response returned."):
        assert findings([replace(caught, answer=Answer(escaped=escaped))]) == []


def test_what_a_dispatch_method_is_told_is_no_cancellation() -> None:
    after = replace(visit("1", "after"), at="shop.py:dispatch")
    caught = bare("3", OK)
    caught = replace(caught, fault=replace(caught.fault, error="cancelled"), visits=(after,))
    assert findings([caught]) == []


def test_authentication_outside_the_span_is_told() -> None:
    outside = [visit("0", span=""), visit("2", span=""), visit("3")]
    stock = trial(server(status="UNSET"), arm="stock", fault=LOOK, answer=OK, visits=outside)
    (found,) = findings([bare("0", BROKEN)], stock=stock)
    assert (found.kind, found.node) == ("auth-outside", "2")
    # Where stock made no span at all, no place is the better one.
    assert findings([bare("0", BROKEN)], stock=replace(stock, spans=())) == []


def test_what_the_layer_of_a_shape_does_wrong_is_not_the_apps() -> None:
    twice = bare("2", with_hazards(BROKEN, response.STARTED_TWICE))
    assert findings([replace(twice, fault=replace(twice.fault, shape="swallowed"))]) == []
