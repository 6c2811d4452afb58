"""Every case of the corpus, through the public interface alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from djangoapp.cases import CASES, Case
from djangoapp.serve import run

from contract.expect import check
from contract.responses import Run, same
from contract.telemetry import Telemetry
from everylayer_django import patches

TRIED = [
    pytest.param(case, server, id=f"{case}-{server}") for case in CASES for server in case.servers
]


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    patches.uninstall()
    yield
    patches.uninstall()


def bare(case: Case, server: str, telemetry: Telemetry) -> Run:
    outcome = run(case, server)
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


def without_frames(run: Run) -> Run:
    return replace(run, raised=run.raised and replace(run.raised, functions=()))
