"""docs/metrics.md lists the instruments as they are, and the runbook every alert."""

from __future__ import annotations

import re
from pathlib import Path

from everylayer.sinks import attributes, instruments, integrity, metrics

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")


def rows(first: str) -> list[list[str]]:
    """Return the cells of the rows whose first one matches `first`."""
    lines = (line.strip().strip("|").split("|") for line in PAGE.splitlines() if line[:1] == "|")
    cells = [[cell.strip() for cell in line] for line in lines]
    return [line for line in cells if re.fullmatch(first, line[0])]


def test_the_table_is_the_code() -> None:
    written = [
        (
            name.strip("`"),
            kind,
            unit.strip("`"),
            description,
            tuple(re.findall(r"`([^`]+)`", attributes)),
        )
        for name, kind, unit, description, attributes in (
            row for row in rows(r"`everylayer\.[\w.]+`") if len(row) == 5
        )
    ]
    assert written == [tuple(each) for each in instruments.ALL]


def test_each_value_of_an_attribute_is_explained() -> None:
    explained = {row[0].strip("`"): row[1] for row in rows(r"`[\w.]+`") if len(row) == 2}
    values = {
        attributes.OUTCOME: (
            metrics.ESCAPED,
            metrics.HANDLED,
            metrics.LATE,
            metrics.DETACHED,
            metrics.DROPPED,
        ),
        attributes.DROP_REASON: (metrics.BUDGET, metrics.CROWDED),
        attributes.PLACEMENT: (
            metrics.ON_SPAN,
            metrics.ON_LATE_SPAN,
            metrics.NO_SPAN,
            metrics.NOT_SAMPLED,
            metrics.SPAN_ENDED,
            metrics.SINK_FAILED,
        ),
        attributes.TRACE_STATE: integrity.STATES,
    }
    for attribute, possible in values.items():
        assert all(f"`{value}`" in explained[attribute] for value in possible), attribute


def test_each_alert_has_its_page() -> None:
    rules = (ROOT / "deploy" / "prometheus" / "everylayer.rules.yml").read_text(encoding="utf-8")
    runbook = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    alerts = re.findall(r"- alert: (\w+)", rules)
    assert re.findall(r"^## (\w+)$", runbook, re.MULTILINE) == alerts
    assert re.findall(r"runbook_url: (\S+)", rules) == [
        f"docs/runbook.md#{a.lower()}" for a in alerts
    ]
