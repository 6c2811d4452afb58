"""Which layer lost the span, told from the visits of one request."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from trial_values import LOOK, OK, SERVER, node, server, trial, visit

from everylayer.audit.context import KINDS, find_losses
from everylayer.audit.model import Arm, Finding, Trial, Visit

CHAIN = (
    node("0", "Outer"),
    node("1", "Culprit", inner=[node("1.0", "Inner", inner=[node("1.0.0", "view", "endpoint")])]),
)


def look(visits: Sequence[Visit], arm: Arm = "everylayer", leftover: str = "") -> Trial:
    spans = server(status="UNSET")
    return trial(spans, arm=arm, fault=LOOK, answer=OK, visits=visits, leftover=leftover)


def losses(*visits: Visit) -> list[Finding]:
    return find_losses(CHAIN, {"everylayer": look(visits)})


START = (visit("0"), visit("1"))

LOST: dict[str, Visit] = {
    "context-fresh": visit("1.0", span="", context=2),
    "context-thread": visit("1.0", span="", context=2, thread="ThreadPoolExecutor-0_0"),
    "context-detached": visit("1.0", span=""),
    "span-not-recording": visit("1.0", span="d" * 16, recording=False),
    "span-ended-early": visit("1.0", recording=False),
    "other-trace": visit("1.0", span="d" * 16, trace="e" * 32),
}


@pytest.mark.parametrize("kind", LOST)
def test_the_layer_around_the_loss_is_named(kind: str) -> None:
    (found,) = losses(*START, LOST[kind], visit("1.0.0", span="", context=9))
    assert (found.kind, found.node, found.where) == (kind, "1", "/srv/app/Culprit.py:7")
    assert found.text.startswith(f"Culprit: {KINDS[kind][0]}")
    assert found.remedy == KINDS[kind][1]


def test_instrumentation_behind_a_layer_is_blamed_for_what_it_does() -> None:
    stock = node("+0", "Stock", "instrumentation", phases=())
    chain = (node("0", "Outer"), stock, node("1", "Inner"), node("+1", "Other", "instrumentation"))
    seen = (visit("0"), visit("1", span="d" * 16, trace="e" * 32))
    (found,) = find_losses(chain, {"stock": look(seen)})
    assert (found.kind, found.node) == ("other-trace", "+0")
    assert found.text.startswith("Stock: ")
    assert found.remedy == "let the outermost instrumentation alone begin a server span"


def test_a_detached_token_is_told_apart_in_a_copied_context_of_another_thread() -> None:
    (found,) = losses(*START, visit("1.0", span="", thread="worker"))
    assert found.kind == "context-detached"


def test_a_layer_that_returns_without_the_span_that_it_began_with() -> None:
    whole = (*START, visit("1.0"), visit("1.0", "after"))
    (found,) = losses(*whole, visit("1", "after", span=""), visit("0", "after", span=""))
    assert (found.kind, found.node) == ("context-detached", "1")


@pytest.mark.parametrize(
    "visits",
    [
        (*START, visit("1.0"), visit("1.0", "after"), visit("1", "after")),
        # A child span of the app's own.
        (*START, visit("1.0", span="d" * 16)),
        # Layers outside of the span never had it.
        (visit("0", span=""), visit("1"), visit("1", "after"), visit("0", "after", span="")),
        # Stock ends its span with the response, and streams after it.
        (*START, visit("1", "after", recording=False)),
        (
            *START,
            visit("1.0.0"),
            visit("1.0.0", "stream", span=""),
            visit("1", "teardown", span=""),
        ),
        (visit("0", span=""), visit("1", span="")),
        (),
    ],
    ids=["kept", "child", "outside", "ended", "late", "never", "nothing"],
)
def test_what_is_no_loss_is_not_told(visits: tuple[Visit, ...]) -> None:
    assert losses(*visits) == []


def test_a_loss_in_both_arms_is_told_once_and_one_in_one_arm_says_so() -> None:
    seen = (*START, LOST["context-fresh"])
    (both,) = find_losses(CHAIN, {"stock": look(seen, "stock"), "everylayer": look(seen)})
    assert "in the arm" not in both.text
    (one,) = find_losses(CHAIN, {"stock": look(seen, "stock"), "everylayer": look(START)})
    assert one.text.endswith("(in the arm stock)")


def test_a_span_that_is_left_is_told_with_the_layer_that_began_it() -> None:
    visits = (visit("0"), visit("1"), visit("1.0", span="d" * 16))
    (found,) = find_losses(CHAIN, {"everylayer": look(visits, leftover="d" * 16)})
    assert (found.kind, found.node) == ("span-left", "1")
    (unknown,) = find_losses(CHAIN, {"everylayer": look(START, leftover=SERVER)})
    assert (unknown.kind, unknown.node) == ("span-left", "")
