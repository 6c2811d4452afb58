"""aiohttp's cases."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

from aiohttp_cases import CASES
from aiohttp_kit import Kit, run
from contract.responses import Run
from matrix_trial import Arm, Trial, mild

# Of middlewares of the old style, which a case is about.
warnings.simplefilter("ignore", DeprecationWarning)


class AiohttpTrial(Trial):
    """A case set up as most people do, with everylayer's line first."""

    def serve(self, arm: Arm) -> Run:
        kit = Kit(stock=arm != "bare", ours=arm == "ours")
        with kit.active():
            return run(self.case.build(kit), self.case.path)


def trials() -> Iterator[Trial]:
    """Yield each case."""
    return map(AiohttpTrial, mild(CASES))
