"""Every case beside every instrumentation: the errors are on the span, and the app cannot tell."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from opentelemetry.sdk.trace import ReadableSpan

import litestar_cases_hooks  # noqa: F401
import litestar_cases_layers  # noqa: F401
import litestar_cases_responses  # noqa: F401
from asgi_drive import converse
from contract.expect import problems
from contract.responses import Run, differences
from contract.telemetry import Telemetry, tree
from litestar_kit import ALONE, CASES, PLUGIN, Case, Kit

ROWS = [pytest.param(case, setup, id=f"{case}-{setup}") for case in CASES for setup in case.setups]


@functools.cache
def bare(name: str) -> Run:
    """Return how the app behaves without any instrumentation."""
    case = next(case for case in CASES if case.name == name)
    return converse(case.build(Kit()), case.request)


def wrong(
    case: Case, setup: str, run: Run, spans: Sequence[ReadableSpan], *, ours: bool = True
) -> list[str]:
    """Return all that is wrong with a run."""
    # Stock's own span of one message keeps what failed there, once more.
    kept = [span for span in spans if not span.name.endswith((" receive", " send"))]
    found = problems(kept, case.fault, case.expected, ours=ours)
    if case.fault.name == "group":
        # It is the task group that raises, after the functions that its members name.
        found = [line for line in found if not line.startswith("code.function.name")]
    return found + noticed(bare(case.name), run)


def noticed(plain: Run, run: Run) -> list[str]:
    """Return how the app's behaviour differs; that of stock does not count."""
    # The methods of a 405 are a set: they come in any order, before Litestar 2.20 as `allowed`.
    return differences(
        without_stock(plain), without_stock(run), ignore=("date", "allow", "allowed")
    )


def without_stock(run: Run) -> Run:
    """Leave out the function that Litestar wraps its own stock in, as each AbstractMiddleware."""
    if run.raised is None:
        return run
    functions = tuple(name for name in run.raised.functions if name != "wrapped_call")
    return replace(run, raised=replace(run.raised, functions=functions))


@pytest.mark.parametrize(("case", "setup"), ROWS)
def test_every_error_is_on_the_span_and_the_app_cannot_tell(
    case: Case, setup: str, telemetry: Telemetry
) -> None:
    bare(case.name)
    telemetry.clear()
    kit = Kit(None if setup == ALONE else setup, ours=True)
    run = converse(case.build(kit), case.request)
    found = wrong(case, setup, run, telemetry.spans)
    assert not found, "\n".join(["", *found, tree(telemetry.spans)])


def test_stock_alone_loses_most(
    telemetry: Telemetry, record_property: Callable[[str, object], None]
) -> None:
    full = total = 0
    for row in CASES:
        if row.expected.event and PLUGIN in row.setups:
            bare(row.name)
            telemetry.clear()
            run = converse(row.build(Kit(PLUGIN)), row.request)
            total += 1
            full += not wrong(row, PLUGIN, run, telemetry.spans, ours=False)
    lost = f"Litestar's OpenTelemetry plugin alone loses {total - full} of {total} errors"
    record_property("measured", lost)
    assert total > 100
    assert full < total / 2, lost
