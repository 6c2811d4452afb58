"""Flask's and WSGI's cases."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import flask_cases_bodies  # noqa: F401
import flask_cases_handlers  # noqa: F401
import flask_cases_hooks  # noqa: F401
import flask_cases_layers  # noqa: F401
from contract.telemetry import Telemetry
from flask_case import CASES, Case
from flask_harness import Outcome, assembled, bare, changes, is_quiet, serve, wrong

# Else Flask puts a handler of its own on each app's logger, and prints.
logging.getLogger().addHandler(logging.NullHandler())


@dataclass
class FlaskTrial:
    """A case of the table."""

    case: Case

    @property
    def name(self) -> str:
        return str(self.case)

    @property
    def failing(self) -> bool:
        return not is_quiet(self.case)

    def serve_bare(self) -> Outcome:
        return bare(self.case)

    def lost_by_stock(self, telemetry: Telemetry) -> Sequence[str]:
        with assembled(self.case, ("build", "stock")) as app:
            serve(self.case, app)
        return wrong(self.case, telemetry, stock=True, ours=False)

    def lost_by_ours(self, bare: Outcome, telemetry: Telemetry) -> tuple[list[str], list[str]]:
        with assembled(self.case, ("build", "stock", "ours")) as app:
            seen = serve(self.case, app)
        return wrong(self.case, telemetry, stock=True), changes(bare, seen)


def trials() -> Iterator[FlaskTrial]:
    """Yield each case, hostile exceptions left out."""
    for case in CASES:
        if not case.fault.hostile:
            yield FlaskTrial(case)
