"""The report as a table, as JSON and as JUnit XML, for kind apps and hostile ones."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
import sample_reports
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from everylayer.audit.model import Finding, Report, Row, Verdict
from everylayer.audit.report import json_report, junit, table
from everylayer.audit.report.saved import report_of
from everylayer.audit.report.totals import passed, totals

SMALL = sample_reports.small()


def lines_of(report: Report, width: int = 140) -> list[str]:
    out = io.StringIO()
    table.print_report(report, Console(file=out, width=width, highlight=False))
    return out.getvalue().splitlines()


def with_verdict(arm: str, verdict: Verdict, of: Report = SMALL) -> Report:
    """Return a report whose first fault went so in `arm`, and all others well."""
    good = Verdict(event=True)
    rows = [replace(row, verdicts={"stock": good, "everylayer": good}) for row in of.rows]
    rows[0] = replace(rows[0], verdicts={**rows[0].verdicts, arm: verdict})
    return replace(of, rows=tuple(rows))


LOST = Verdict(event=False, why=("no exception event on the server span",))


@pytest.mark.parametrize(
    ("arm", "verdict", "good"),
    [
        ("stock", LOST, True),
        ("everylayer", LOST, False),
        ("everylayer", Verdict(event=True, response=False, why=("the status is 200",)), False),
        ("everylayer", Verdict(reached=False), True),
    ],
)
def test_only_what_everylayer_does_wrong_fails_an_audit(
    arm: str, verdict: Verdict, good: bool
) -> None:
    assert passed(with_verdict(arm, verdict)) is good


def test_totals_count_what_was_put() -> None:
    count = len(SMALL.rows)
    assert totals(with_verdict("stock", LOST)) == {
        "stock": {"put": count, "lost": 1, "unreached": 0},
        "everylayer": {"put": count, "lost": 0, "unreached": 0},
    }
    assert totals(with_verdict("everylayer", Verdict(reached=False)))["everylayer"] == {
        "put": count - 1,
        "lost": 0,
        "unreached": 1,
    }


def test_the_table_has_both_arms_side_by_side_and_the_totals() -> None:
    lines = lines_of(with_verdict("stock", LOST))
    first = next(line for line in lines if "RequestIdMiddleware" in line)
    assert first.split()[:6] == ["0", "RequestIdMiddleware", "before", "raised", "lost", "ok"]
    assert "no exception event on the server span" in first
    assert f"stock lost 1 of {len(SMALL.rows)}, everylayer lost 0 of {len(SMALL.rows)}" in lines


def test_shapes_that_went_the_same_share_a_line() -> None:
    lines = lines_of(with_verdict("stock", Verdict(event=True)))
    assert next(line for line in lines if "RequestIdMiddleware" in line).split()[3] == "all"


def test_the_table_says_what_was_not_tried_and_what_else_was_found() -> None:
    finding = Finding("error-hidden", "Recovery answers 200", "1", "app.py:3", "answer 500")
    rows = [replace(row, verdicts={"everylayer": Verdict()}) for row in SMALL.rows]
    lines = lines_of(replace(SMALL, rows=tuple(rows), stock="not installed", findings=(finding,)))
    told = [line.strip() for line in lines]
    assert "! Recovery answers 200  [error-hidden]" in told
    assert "at app.py:3" in told
    assert "answer 500" in told
    assert "Stock was not tried: not installed" in lines
    assert f"everylayer lost 0 of {len(rows)}" in lines


def test_a_narrow_terminal_and_hostile_names_do_not_break_the_table() -> None:
    hostile = replace(SMALL, target="[red]x[/nothing] \x1b[31m", rows=SMALL.rows)
    hostile = with_verdict("everylayer", Verdict(why=("[/]" + sample_reports.HOSTILE,)), hostile)
    for width in (60, 80):
        lines = lines_of(hostile, width)
        assert max(map(len, lines)) <= width
        assert "\x1b[31m" not in "\n".join(lines)
        assert "[red]" in "\n".join(lines)


def test_json_has_a_version_a_summary_and_everything_else() -> None:
    found = json.loads(json_report.render(SMALL))
    assert found["schema"] == 1
    assert found["summary"] == totals(SMALL)
    assert report_of(found) == SMALL
    assert json_report.render(SMALL) == json_report.render(SMALL)


def cases_of(report: Report) -> list[ET.Element]:
    root = ET.fromstring(junit.render(report))
    (suite,) = root
    cases = list(suite)
    for element in (root, suite):
        assert element.get("tests") == str(len(cases))
        for name, tag in (("failures", "failure"), ("skipped", "skipped")):
            assert element.get(name) == str(sum(case.find(tag) is not None for case in cases))
    return cases


def test_junit_has_a_case_for_each_fault() -> None:
    cases = cases_of(with_verdict("everylayer", LOST))
    assert len(cases) == len(SMALL.rows)
    assert len({(case.get("classname"), case.get("name")) for case in cases}) == len(cases)
    failure = cases[0].find("failure")
    assert failure is not None
    assert failure.get("message") == LOST.why[0]
    assert "shop/middleware.py:18" in str(failure.text)
    assert cases[1].find("failure") is None


def test_junit_skips_what_was_not_reached_and_leaves_stock_out() -> None:
    report = with_verdict("stock", LOST)
    assert all(len(case) == 0 for case in cases_of(report))
    skipped = cases_of(with_verdict("everylayer", Verdict(reached=False)))[0].find("skipped")
    assert skipped is not None
    assert skipped.get("message") == "GET /orders?page=2 does not pass here"


@given(text=st.text(st.characters(), max_size=20))
def test_any_text_makes_valid_xml_and_json(text: str) -> None:
    why = Verdict(why=(text,))
    row: Row = with_verdict("everylayer", why).rows[0]
    report = replace(SMALL, target=text, rows=(row,))
    (case,) = cases_of(report)
    assert case.find("failure") is not None
    assert json.loads(json_report.render(report))["target"] == text
