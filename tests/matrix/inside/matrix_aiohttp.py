"""aiohttp's cases."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aiohttp_cases import CASES, Case
from aiohttp_kit import Kit, run
from contract.expect import problems
from contract.responses import Run, differences
from contract.telemetry import Telemetry
from test_aiohttp_corpus import bare

# As most people set it up.
WHEN = "first"

# Of middlewares of the old style, which a case is about.
warnings.simplefilter("ignore", DeprecationWarning)


@dataclass
class AiohttpTrial:
    """A case of the table."""

    case: Case

    @property
    def name(self) -> str:
        return str(self.case)

    @property
    def failing(self) -> bool:
        return self.case.expected.event

    def serve_bare(self) -> Run:
        return bare(self.case.name, WHEN)

    def lost_by_stock(self, telemetry: Telemetry) -> Sequence[str]:
        self._serve(Kit(stock=True, ours=False, when=WHEN))
        return problems(telemetry.spans, self.case.fault, self.case.expected, ours=False)

    def lost_by_ours(self, bare: Run, telemetry: Telemetry) -> tuple[list[str], list[str]]:
        seen = self._serve(Kit(stock=True, when=WHEN))
        wrong = problems(telemetry.spans, self.case.fault, self.case.expected)
        return wrong, differences(bare, seen)

    def _serve(self, kit: Kit) -> Run:
        with kit.active():
            return run(self.case.build(kit), self.case.path)


def trials() -> Iterator[AiohttpTrial]:
    """Yield each case, hostile exceptions left out."""
    for case in CASES:
        if not case.fault.hostile:
            yield AiohttpTrial(case)
