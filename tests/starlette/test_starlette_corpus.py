"""Every case, beside every instrumentation, with everylayer at every place of the chain."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan

import cases_fastapi  # noqa: F401
import cases_layers  # noqa: F401
import cases_plain  # noqa: F401
import cases_routes  # noqa: F401
import everylayer_starlette
from asgi_cases import CASES, Case
from asgi_drive import converse
from asgi_kit import POSITIONS, SETUPS, Kit, Setup
from contract.expect import problems
from contract.responses import Run, differences
from contract.telemetry import Telemetry, server_spans, tree
from everylayer_starlette import patches

ENTRY = everylayer_starlette.EveryLayerMiddleware


def rows() -> list[Any]:
    """Return (case, setup, position) for all that belong together."""
    return [
        pytest.param(case, setup, position, id=f"{case}-{setup}-{position}")
        for case in CASES
        for setup in SETUPS
        if case.runs_under(setup)
        for position in (POSITIONS if case.framework != "asgi" else POSITIONS[:1])
    ]


@functools.cache
def bare(name: str) -> Run:
    """Return how the app behaves without any instrumentation, and without our patches."""
    case = next(case for case in CASES if case.name == name)
    patches.remove()
    try:
        return converse(case.build(Kit()), case.request)
    finally:
        patches.install()


def found(
    case: Case, setup: Setup, run: Run, telemetry: Telemetry, *, ours: bool = True
) -> list[str]:
    """Return all that is wrong with a run."""
    expected = case.outcome(setup)
    wrong = problems(_without_details(telemetry.spans), case.fault, expected, ours=ours)
    if case.fault.name == "group":
        # It is the task group that raises, after the functions that its members name.
        wrong = [w for w in wrong if not w.startswith("code.function.name")]
    if case.may_lack_server_span(setup) and not server_spans(telemetry.spans):
        wrong = [w for w in wrong if w != "0 server spans, expected 1"]
    return wrong + changes(bare(case.name), run, setup)


def _without_details(spans: Sequence[ReadableSpan]) -> list[ReadableSpan]:
    # Stock's own span of one message or one background task keeps what failed there, once more.
    return [
        span
        for span in spans
        if not span.name.endswith((" receive", " send"))
        and not span.name.startswith("BackgroundTask ")
    ]


def changes(plain: Run, run: Run, setup: Setup) -> list[str]:
    """Return how the app's behaviour differs; frames of another instrumentation do not count."""
    if setup.transparent:
        return differences(plain, run)
    return [line for line in differences(plain, run) if not line.startswith("raised")] + (
        [] if _what(plain) == _what(run) else [f"raised {plain.raised} became {run.raised}"]
    )


def _what(run: Run) -> Any:
    return run.raised and (run.raised.type, run.raised.message)


@pytest.mark.parametrize(("case", "setup", "position"), rows())
def test_every_error_is_on_the_span_and_the_app_cannot_tell(
    case: Case, setup: Setup, position: str, telemetry: Telemetry
) -> None:
    bare(case.name)
    telemetry.clear()
    with Kit(setup, ENTRY, position).active() as kit:
        run = converse(case.build(kit), case.request)
    wrong = found(case, setup, run, telemetry)
    assert not wrong, "\n".join(["", *wrong, tree(telemetry.spans)])
