"""Litestar's cases."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from asgi_drive import converse
from contract.responses import Run
from contract.telemetry import Telemetry
from litestar_kit import ALONE, CASES, PLUGIN, Kit
from matrix_trial import Arm, Trial, mild
from test_litestar_corpus import noticed, wrong

logging.getLogger("asyncio").setLevel(logging.CRITICAL + 1)


class LitestarTrial(Trial):
    """A case beside one of Litestar's own ways to have stock instrumentation."""

    def __init__(self, case: Any, setup: str) -> None:
        super().__init__(case)
        self.setup = setup

    def serve(self, arm: Arm) -> Run:
        kit = Kit() if arm == "bare" else Kit(self.setup, ours=arm == "ours")
        return converse(self.case.build(kit), self.case.request)

    def wrong(self, seen: Run, telemetry: Telemetry, *, ours: bool) -> list[str]:
        return wrong(self.case, self.setup, seen, telemetry.spans, ours=ours)

    def noticed(self, bare: Run, seen: Run) -> list[str]:
        return noticed(bare, seen)


def trials() -> Iterator[Trial]:
    """Yield each case that can be served beside stock."""
    for case in mild(CASES):
        setups = [setup for setup in case.setups if setup != ALONE]
        if setups:
            yield LitestarTrial(case, PLUGIN if PLUGIN in setups else setups[0])
