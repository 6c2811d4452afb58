"""Which faults are planned, and what is said of them."""

from __future__ import annotations

from typing import Any

import pytest
from trial_values import node

from everylayer.audit.model import Request
from everylayer.audit.plan import LOOK, PlanError, describe, make_plan

CHAIN = (
    node("+0", "OpenTelemetryMiddleware", "instrumentation", ()),
    node("0", "shop.AuthMiddleware"),
    node(
        "1",
        "Router",
        "asgi",
        (),
        inner=[
            node("1.0", "orders", "endpoint", ("before", "stream", "background")),
            node("1.1", "report", "endpoint", ("before",), mode="sync"),
        ],
    ),
    node("2", "AuditMiddleware", phases=("after",)),
)


def places(**wanted: Any) -> list[tuple[str, str, str, str]]:
    faults = make_plan(CHAIN, Request(), **wanted).faults
    return [(f.node, f.phase, f.shape, f.error) for f in faults]


def test_every_place_is_tried_in_every_shape_and_no_other() -> None:
    expected = [
        (n, phase, shape, "error")
        for n, phases in (
            ("0", ("before", "after")),
            ("1.0", ("before", "stream", "background")),
            ("1.1", ("before",)),
            ("2", ("after",)),
        )
        for phase in phases
        for shape in ("raised", "swallowed", "translated")
    ]
    assert places() == expected


def test_only_the_async_endpoints_of_an_asgi_app_are_cancelled() -> None:
    cancelled = [place for place in places(is_async=True) if place[3] == "cancelled"]
    assert cancelled == [("1.0", "before", "raised", "cancelled")]
    assert not [p for p in places(is_async=True, phases=["stream"]) if p[3] == "cancelled"]
    assert not [p for p in places(is_async=True, shapes=["swallowed"]) if p[3] == "cancelled"]


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        (["0"], {"0"}),
        (["authmiddleware"], {"0"}),
        (["shop.AuthMiddleware"], {"0"}),
        (["Au*Middleware"], {"0", "2"}),
        (["orders", "AuditMiddleware"], {"1.0", "2"}),
    ],
)
def test_layers_are_chosen_by_name_id_or_pattern(patterns: list[str], found: set[str]) -> None:
    assert {place[0] for place in places(layers=patterns)} == found


def test_phases_and_shapes_are_chosen() -> None:
    chosen = places(phases=["stream", "after"], shapes=["swallowed"])
    assert {place[1:3] for place in chosen} == {("stream", "swallowed"), ("after", "swallowed")}


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"layers": ["AuthMidleware"]}, "no layer is called 'AuthMidleware'; there is"),
        ({"layers": ["AuditMiddleware"], "phases": ["stream"]}, "has the phase stream; try after"),
        ({"layers": ["Router"]}, "no layer here in which a fault can be put"),
    ],
)
def test_what_cannot_be_tried_is_said_in_one_sentence(wanted: dict[str, Any], said: str) -> None:
    with pytest.raises(PlanError, match=said) as failure:
        places(**wanted)
    assert "\n" not in str(failure.value)


def test_a_wrong_name_is_answered_with_a_close_one() -> None:
    with pytest.raises(PlanError, match=r"AuthMiddleware"):
        places(layers=["auth-middleware"])


def test_tokens_are_unique_and_the_same_the_next_time() -> None:
    faults = make_plan(CHAIN, Request(), is_async=True).faults
    tokens = [fault.token for fault in faults]
    assert len(set(tokens)) == len(tokens)
    assert tokens == [fault.token for fault in make_plan(CHAIN, Request(), is_async=True).faults]


def test_a_run_looks_first_and_then_tries_shape_by_shape() -> None:
    first, *rest = make_plan(CHAIN, Request(), shapes=["translated", "raised"]).trials
    assert first == LOOK
    shapes = [fault.shape for fault in rest]
    assert shapes == sorted(shapes)
    assert shapes.count("translated") == 7
    assert "swallowed" not in shapes


def test_a_dry_run_tells_what_it_would_touch() -> None:
    plan = make_plan(CHAIN, Request("GET", "/orders"))
    text = describe(plan, "shop:app", CHAIN, ["bare", "stock", "everylayer"])
    assert "GET /orders" in text
    assert "shop.AuthMiddleware: before, after; raised, swallowed, translated" in text
    assert "the endpoint that answers the request, one of 2" in text
    assert "It will not touch: the network." in text
    assert "Nothing was sent now" in text
    assert "OpenTelemetryMiddleware" not in text
