"""Litestar's cases."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from asgi_drive import converse
from contract.responses import Run, differences
from contract.telemetry import Telemetry
from litestar_kit import ALONE, CASES, PLUGIN, Case, Kit
from test_litestar_corpus import bare, without_stock, wrong

logging.getLogger("asyncio").setLevel(logging.CRITICAL + 1)


@dataclass
class LitestarTrial:
    """A case beside one of Litestar's own ways to have stock instrumentation."""

    case: Case
    setup: str

    @property
    def name(self) -> str:
        return str(self.case)

    @property
    def failing(self) -> bool:
        return self.case.expected.event

    def serve_bare(self) -> Run:
        return bare(self.case.name)

    def lost_by_stock(self, telemetry: Telemetry) -> Sequence[str]:
        seen = converse(self.case.build(Kit(self.setup)), self.case.request)
        return wrong(self.case, self.setup, seen, telemetry.spans, ours=False)

    def lost_by_ours(self, bare: Run, telemetry: Telemetry) -> tuple[list[str], list[str]]:
        seen = converse(self.case.build(Kit(self.setup, ours=True)), self.case.request)
        noticed = differences(without_stock(bare), without_stock(seen), ignore=("date", "allow"))
        found = wrong(self.case, self.setup, seen, telemetry.spans)
        return [line for line in found if line not in noticed], noticed


def trials() -> Iterator[LitestarTrial]:
    """Yield each case that can be served beside stock, hostile exceptions left out."""
    for case in CASES:
        setups = [setup for setup in case.setups if setup != ALONE]
        if setups and not case.fault.hostile:
            yield LitestarTrial(case, PLUGIN if PLUGIN in setups else setups[0])
