"""Every way of failing, in every order of set-up: on the trace once, and the app cannot tell."""

from __future__ import annotations

import contextvars
import functools

import pytest

import flask_cases_bodies
import flask_cases_handlers
import flask_cases_hooks
import flask_cases_layers
from contract.telemetry import Telemetry, tree
from flask_case import CASES, Case
from flask_harness import ORDERS, OURS, Outcome, assembled, bare, changes, is_quiet, serve, wrong

CORPUS = tuple(CASES)
_TABLES = (flask_cases_bodies, flask_cases_handlers, flask_cases_hooks, flask_cases_layers)


@functools.cache
def uninstrumented(name: str) -> Outcome:
    """Return how the app behaves by itself: the same before each order."""
    return bare(next(case for case in CORPUS if case.name == name))


@pytest.mark.parametrize("order", OURS)
@pytest.mark.parametrize("case", CORPUS, ids=str)
def test_every_error_is_on_the_trace_once(case: Case, order: str, telemetry: Telemetry) -> None:
    steps = ORDERS[order]
    before = uninstrumented(case.name)
    telemetry.clear()
    with assembled(case, steps) as app:
        after = serve(case, app)
    stock = "stock" in steps or "class" in steps
    found = changes(before, after) + wrong(case, telemetry, stock=stock)
    assert not found, "\n".join([f"{case} {order}:", *found, tree(telemetry.spans)])


def test_stock_alone_loses_most_of_them(telemetry: Telemetry) -> None:
    """The corpus is worth something only if it is not already solved."""
    failing = [case for case in CORPUS if not is_quiet(case)]
    kept = 0
    for case in failing:
        telemetry.clear()
        with assembled(case, ("build", "stock")) as app:
            # Some leave their span behind, and it would adopt the next request.
            contextvars.copy_context().run(serve, case, app)
        kept += not wrong(case, telemetry, stock=True, ours=False)
    assert len(failing) > 130
    assert kept / len(failing) < 0.5, f"stock keeps {kept} of {len(failing)}"


def test_every_table_is_read() -> None:
    assert all(table.__doc__ for table in _TABLES)
    assert len({case.name for case in CORPUS}) == len(CORPUS)
