"""Every case, with stock instrumentation and without, whenever everylayer's line is added."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from aiohttp_cases import CASES, Case
from aiohttp_kit import Kit, run
from contract.expect import problems
from contract.responses import Run, differences
from contract.telemetry import Telemetry, tree
from everylayer import own_failures

MOMENTS = ("first", "last", "between")


def rows() -> list[Any]:
    """Return (case, with stock, moment): each case with both, at a moment that takes turns."""
    return [
        pytest.param(case, stock, MOMENTS[(number + stock) % 3], id=f"{case}-{arm}")
        for number, case in enumerate(CASES)
        for stock, arm in ((False, "alone"), (True, "stock"))
    ]


@functools.cache
def bare(name: str, when: str) -> Run:
    """Return how the app behaves without any instrumentation."""
    case = next(case for case in CASES if case.name == name)
    kit = Kit(stock=False, ours=False, when=when)
    with kit.active():
        return run(case.build(kit), case.path)


@pytest.mark.filterwarnings("ignore:old-style middleware:DeprecationWarning")
@pytest.mark.parametrize(("case", "stock", "when"), rows())
def test_every_error_is_on_the_span_and_the_app_cannot_tell(
    case: Case, stock: bool, when: str, telemetry: Telemetry
) -> None:
    kit = Kit(stock=stock, when=when)
    before = bare(case.name, when)
    telemetry.clear()
    failures = dict(own_failures())
    with kit.active():
        after = run(case.build(kit), case.path)
    found = problems(telemetry.spans, case.fault, case.expected) + differences(before, after)
    assert not found, "\n".join(["", *found, tree(telemetry.spans)])
    assert dict(own_failures()) == failures


@pytest.mark.filterwarnings("ignore:old-style middleware:DeprecationWarning")
def test_stock_alone_loses_most_of_them(telemetry: Telemetry, record_property: Any) -> None:
    """The corpus is worth something only if it is not already solved."""
    failing = [case for case in CASES if case.expected.event]
    kept = 0
    for case in failing:
        telemetry.clear()
        kit = Kit(stock=True, ours=False)
        with kit.active():
            run(case.build(kit), case.path)
        kept += not problems(telemetry.spans, case.fault, case.expected, ours=False)
    record_property("measured", f"aiohttp: stock shows {kept} of {len(failing)} errors in full")
    assert len(failing) > 90
    assert kept / len(failing) < 0.5
