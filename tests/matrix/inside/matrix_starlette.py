"""Starlette's, FastAPI's and ASGI's cases."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import requires, version
from typing import Any

from packaging.requirements import Requirement

import cases_fastapi  # noqa: F401
import cases_layers  # noqa: F401
import cases_plain  # noqa: F401
import cases_routes  # noqa: F401
from asgi_cases import CASES, Case
from asgi_drive import converse
from asgi_kit import AROUND, FASTAPI_LAST, LAST, Kit, Setup
from contract.expect import problems
from contract.responses import Run
from contract.telemetry import Telemetry
from everylayer_starlette import EveryLayerMiddleware, patches
from matrix_trial import Arm, Trial, mild
from test_starlette_corpus import bare, changes, found

# As most people set it up.
SETUPS = {"starlette": LAST, "fastapi": FASTAPI_LAST, "asgi": AROUND}

logging.getLogger("asyncio").setLevel(logging.CRITICAL + 1)


class StarletteTrial(Trial):
    """A case beside the stock instrumentation that is made for its framework."""

    def __init__(self, case: Any, setup: Setup) -> None:
        super().__init__(case)
        self.setup = setup
        self.failing = case.outcome(setup).event

    def serve(self, arm: Arm) -> Run:
        if arm == "bare":
            return bare(self.case.name)
        if arm == "ours":
            return self._converse(Kit(self.setup, EveryLayerMiddleware, "middle"))
        patches.remove()
        try:
            return self._converse(Kit(self.setup))
        finally:
            patches.install()

    def _converse(self, kit: Kit) -> Run:
        with kit.active():
            return converse(self.case.build(kit), self.case.request)

    def wrong(self, seen: Run, telemetry: Telemetry, *, ours: bool) -> list[str]:
        cases = _either(self.case)
        if not ours:
            outcomes = (case.outcome(self.setup) for case in cases)
            tried = (problems(telemetry.spans, self.case.fault, o, ours=False) for o in outcomes)
            return min(tried, key=len)
        different = changes(bare(self.case.name), seen, self.setup)
        tried = (found(case, self.setup, seen, telemetry) for case in cases)
        return [line for line in min(tried, key=len) if line not in different]

    def noticed(self, bare: Run, seen: Run) -> list[str]:
        return changes(_without_scope(bare), _without_scope(seen), self.setup)


def _either(case: Case) -> list[Case]:
    """Return `case`, and as it is where its error comes before the last of the response is sent.

    A layer of Starlette's that runs the app in a task of its own waited for that only later on.
    """
    if not case.expected.late:
        return [case]
    early = replace(case.expected, late=False, server_status=None)
    return [case, replace(case, expected=early, but=())]


def _without_scope(run: Run) -> Run:
    """Leave out what is in the message of some cancellations: addresses and numbers of tasks."""
    if run.raised is None or not run.raised.message.startswith("Cancelled via cancel scope"):
        return run
    return replace(run, raised=replace(run.raised, message="Cancelled via cancel scope"))


def trials() -> Iterator[Trial]:
    """Yield each case that these versions can run."""
    for case in mild(CASES):
        setup = SETUPS[case.framework]
        if case.framework == "fastapi" and not fastapi_fits():
            continue
        if case.runs_under(setup):
            yield StarletteTrial(case, setup)


def fastapi_fits() -> bool:
    """Tell whether FastAPI is made for the Starlette that is there."""
    asked = map(Requirement, requires("fastapi") or ())
    return all(
        need.specifier.contains(version("starlette")) for need in asked if need.name == "starlette"
    )
