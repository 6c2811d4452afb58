"""Flask's and WSGI's cases."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import flask_cases_bodies  # noqa: F401
import flask_cases_handlers  # noqa: F401
import flask_cases_hooks  # noqa: F401
import flask_cases_layers  # noqa: F401
from contract.telemetry import Telemetry
from flask_case import CASES
from flask_harness import Outcome, assembled, changes, serve, wrong
from matrix_trial import Arm, Trial, mild

# Else Flask puts a handler of its own on each app's logger, and prints.
logging.getLogger().addHandler(logging.NullHandler())

STEPS = {"bare": (), "stock": ("build", "stock"), "ours": ("build", "stock", "ours")}


class FlaskTrial(Trial):
    """A case; what it logs counts as noticed, too."""

    def serve(self, arm: Arm) -> Outcome:
        with assembled(self.case, STEPS[arm]) as app:
            return serve(self.case, app)

    def wrong(self, seen: Outcome, telemetry: Telemetry, *, ours: bool) -> list[str]:
        return wrong(self.case, telemetry, stock=True, ours=ours)

    def noticed(self, bare: Outcome, seen: Outcome) -> list[str]:
        return changes(bare, seen)


def trials() -> Iterator[Trial]:
    """Yield each case."""
    return map(FlaskTrial, mild(CASES))
