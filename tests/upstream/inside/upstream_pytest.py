"""A pytest plugin: sets the arm up before any test is imported, writes a line for each report."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import upstream_arm

upstream_arm.start()
_results = Path(os.environ["UPSTREAM_RESULTS"])


def _put(test: str, outcome: str, text: str = "") -> None:
    with _results.open("a", encoding="utf-8") as file:
        file.write(json.dumps([test, outcome, text]) + "\n")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Write the outcome of one phase; the passing of set-up and tear-down says nothing."""
    if report.passed and report.when != "call":
        return
    if hasattr(report, "wasxfail"):
        outcome = "xfailed" if report.skipped else "xpassed"
    else:
        outcome = report.outcome
    _put(report.nodeid, outcome, report.longreprtext if report.failed else "")


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Write what could not be collected."""
    if report.failed:
        _put(report.nodeid, "failed", report.longreprtext)
