"""The corpus measures something: stock instrumentation loses most of it."""

from __future__ import annotations

import contextvars
import gc

from contract.expect import problems
from contract.telemetry import Telemetry
from djangoapp.cases import CASES, Case
from djangoapp.serve import run

# An exception that lies about its class breaks stock, asgiref's threads and the test runner alike.
TRIED = [case for case in CASES if not case.fault.hostile]


def losses(case: Case, server: str, telemetry: Telemetry) -> list[str]:
    telemetry.clear()
    # A span that stock leaves open ends when it is collected, in whatever request runs then.
    contextvars.Context().run(run, case, server, stock=True)
    return problems(telemetry.spans, case.fault, case.expected, ours=False)


def test_stock_loses_most_errors(telemetry: Telemetry) -> None:
    errors = [case for case in TRIED if case.expected.event]
    tried = [(case, server) for case in errors for server in case.servers]
    lost = [(case.name, server) for case, server in tried if losses(case, server, telemetry)]
    gc.collect()
    assert len(tried) > 100
    assert len(lost) > 0.6 * len(tried)


def test_the_corpus_has_cases_that_stock_gets_right(telemetry: Telemetry) -> None:
    right = [case for case in TRIED if case.expected.event and not losses(case, "wsgi", telemetry)]
    gc.collect()
    assert {"view", "async-view"} <= {case.name for case in right}
