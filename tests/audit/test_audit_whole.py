"""Whole audits of small apps, in real processes: what they say agrees with the spans."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from everylayer.audit.model import Report, Row
from everylayer.audit.report.saved import report_of

APPS = Path(__file__).parent / "apps"


@pytest.fixture(autouse=True)
def _children_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Coverage would take most of the time of the many children."""
    for name in ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"):
        monkeypatch.delenv(name, raising=False)


def audited(*args: str) -> tuple[int, Report]:
    command = [sys.executable, "-m", "everylayer", "audit", *args, "--format", "json"]
    done = subprocess.run(command, cwd=APPS, capture_output=True, timeout=120, check=False)
    assert done.stdout, done.stderr.decode()
    return done.returncode, report_of(json.loads(done.stdout))


def names(report: Report) -> dict[str, str]:
    found: dict[str, str] = {}
    queue = list(report.chain)
    for node in queue:
        found[node.id] = node.name
        queue += node.inner
    return found


def events_of(row: Row, arm: str) -> list[dict[str, Any]]:
    """Return the fault's events on SERVER spans and late ones, counted without the judge."""
    return [
        event.attributes
        for span in row.trials[arm].spans
        for event in span.events
        if (span.kind == "SERVER" or span.name.endswith(" (late)"))
        and row.fault.token in str(event.attributes.get("exception.message"))
    ]


def agrees_with_its_spans(report: Report) -> None:
    assert report.rows
    for row in report.rows:
        if row.fault.error != "error":
            continue
        for arm in ("stock", "everylayer"):
            verdict = row.verdicts[arm]
            if verdict.reached and row.fault.shape != "translated":
                events = events_of(row, arm)
                assert (len(events) > 0) == verdict.event, (row.fault, arm, verdict)
                assert verdict.once is None or verdict.once == (len(events) == 1)


def found(report: Report) -> dict[str, str]:
    """Return the layers' names by kind of finding."""
    known = names(report)
    return {finding.kind: known.get(finding.node, "") for finding in report.findings}


def wrong(report: Report) -> list[tuple[str, str, tuple[str, ...]]]:
    known = names(report)
    return [
        (known[row.fault.node], row.fault.phase, row.verdicts["everylayer"].why)
        for row in report.rows
        if not row.verdicts["everylayer"].ok
    ]


def test_flask() -> None:
    code, report = audited("whole_flask:app", "--shape", "raised")
    assert wrong(report) == []
    assert code == 0
    agrees_with_its_spans(report)
    known = names(report)
    tried = {
        (known[row.fault.node], row.fault.phase)
        for row in report.rows
        if row.verdicts["everylayer"].reached
    }
    assert {("Authentication", "before"), ("check", "after"), ("index", "stream")} <= tried
    assert ("release", "teardown") in tried
    # The endpoints that this request does not reach are no part of its audit.
    assert "other" not in {known[row.fault.node] for row in report.rows}
    told = found(report)
    assert told["error-hidden"] == "Recovery"
    assert told["auth-outside"] == "Authentication"
    assert told["started-twice"]
    lost = {known[r.fault.node] for r in report.rows if r.verdicts["stock"].event is False}
    assert {"Authentication", "Recovery", "Tenant"} <= lost
    assert "check" not in lost


def test_starlette() -> None:
    code, report = audited("whole_starlette:app", "--shape", "raised")
    assert wrong(report) == []
    assert code == 0
    agrees_with_its_spans(report)
    told = found(report)
    assert told["context-fresh"] == "Fresh"
    assert told["cancelled-caught"] == "CatchAll"
    assert "error-hidden" not in told
    (background,) = [row for row in report.rows if row.fault.phase == "background"]
    assert background.verdicts["everylayer"].ok
    assert background.verdicts["stock"].event is False


def test_django() -> None:
    code, report = audited("whole_django", "--shape", "raised")
    assert wrong(report) == []
    assert code == 0
    agrees_with_its_spans(report)
    known = names(report)
    assert found(report) == {"error-hidden": "Recovery"}
    tried = {(known[row.fault.node], row.fault.phase) for row in report.rows}
    assert {("Recovery", "before"), ("Recovery", "after"), ("index", "stream")} <= tried
    assert "other" not in known.values() or ("other", "before") not in tried
    lost = {known[r.fault.node] for r in report.rows if r.verdicts["stock"].event is False}
    assert "Recovery" in lost


def test_what_the_outermost_layer_does_with_it() -> None:
    shapes = ("--shape", "swallowed", "--shape", "translated")
    code, report = audited("whole_flask:app", *shapes, "--layer", "check")
    assert code == 0
    for row in report.rows:
        trial = row.trials["everylayer"]
        assert trial.translated == (row.fault.shape == "translated")
        (event,) = events_of(row, "everylayer")
        assert event["everylayer.handled"] == (row.fault.shape == "swallowed")
