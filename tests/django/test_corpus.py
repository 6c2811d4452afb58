"""Every case of the corpus, through the public interface alone."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest

import everylayer
from contract.expect import check
from contract.responses import Run, same
from contract.telemetry import Telemetry
from djangoapp.cases import CASES, Case
from djangoapp.serve import run

TRIED = [
    pytest.param(case, server, id=f"{case}-{server}") for case in CASES for server in case.servers
]


@functools.cache
def uninstrumented(name: str, server: str) -> Run:
    """Return how the app behaves by itself: the same before each position."""
    return run(next(case for case in CASES if case.name == name), server)


def bare(case: Case, server: str, telemetry: Telemetry) -> Run:
    outcome = uninstrumented(case.name, server)
    telemetry.clear()
    return outcome


@pytest.mark.parametrize("position", ["first", "middle", "last"])
@pytest.mark.parametrize(("case", "server"), TRIED)
def test_with_stock(case: Case, server: str, position: str, telemetry: Telemetry) -> None:
    before = bare(case, server, telemetry)
    after = run(case, server, stock=True, position=position)
    # Stock is one layer more, and a synchronous one.
    same(without_frames(before), without_frames(after))
    check(telemetry.spans, case.fault, case.expected)


@pytest.mark.parametrize(("case", "server"), TRIED)
def test_alone(case: Case, server: str, telemetry: Telemetry) -> None:
    before = bare(case, server, telemetry)
    after = run(case, server, position="first")
    same(before, after)
    check(telemetry.spans, case.fault, case.expected)


UNDER_ASGI = [param for param in TRIED if str(param.id).endswith("-asgi")]


@pytest.mark.parametrize(("case", "server"), UNDER_ASGI)
def test_a_layer_in_a_thread_is_no_forgotten_work(
    case: Case, server: str, telemetry: Telemetry
) -> None:
    """Under ASGI Django calls what is synchronous by an executor, and awaits that."""
    everylayer.configure(detached="record")
    try:
        run(case, server, position="first")
    finally:
        everylayer.configure(detached="off")
    check(telemetry.spans, case.fault, case.expected)


def without_frames(run: Run) -> Run:
    return replace(run, raised=run.raised and replace(run.raised, functions=()))
