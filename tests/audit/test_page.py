"""The page without a browser: what stands in it, and that nothing gets out of its block."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
import sample_reports
from hypothesis import given, settings
from hypothesis import strategies as st

from everylayer.audit.model import Report, SpanData, SpanEvent, Verdict
from everylayer.audit.report.page import render, render_traces
from everylayer.audit.report.view import state
from everylayer.audit.report.waterfall import waterfall


class Parts(HTMLParser):
    """The elements of a page: their names in order, their attributes, and what is in them."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=False)
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[tuple[str, str]] = []
        self.open = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs
        self.open = f"{tag}:{dict(attrs).get('type') or ''}"

    def handle_endtag(self, tag: str) -> None:
        self.open = ""

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open, data))

    def inside(self, what: str) -> str:
        return "".join(text for where, text in self.texts if where == what)


def shown(page: str) -> Any:
    return json.loads(Parts(page).inside("script:application/json"))


REPORTS = [sample_reports.small(), sample_reports.hostile(), sample_reports.empty()]


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: report.framework)
def test_a_page_holds_its_own_elements_and_nothing_of_the_apps(report: Report) -> None:
    parts = Parts(render(report))
    assert parts.names == Parts(render(sample_reports.empty())).names
    assert parts.attributes == Parts(render(sample_reports.empty())).attributes
    assert not {"src", "srcset", "style", "onclick"} & {name for name, _ in parts.attributes}
    assert {tag for tag in parts.names if tag in ("link", "img", "iframe", "object")} == set()


def test_the_policy_allows_its_own_style_and_script_alone() -> None:
    parts = Parts(render(sample_reports.hostile()))
    policy = next(v for k, v in parts.attributes if k == "content" and v and "default-src" in v)
    rules = dict(rule.split(maxsplit=1) for rule in policy.split("; "))
    for kind in ("style", "script"):
        digest = hashlib.sha256(parts.inside(f"{kind}:").encode()).digest()
        assert rules.pop(f"{kind}-src") == f"'sha256-{base64.b64encode(digest).decode()}'"
    assert rules == {"default-src": "'none'", "base-uri": "'none'", "form-action": "'none'"}


def test_the_pages_own_parts_make_no_markup_and_ask_for_nothing() -> None:
    parts = Parts(render(sample_reports.empty()))
    script, style = parts.inside("script:"), parts.inside("style:")
    by_markup = r"(inner|outer)HTML|insertAdjacentHTML|document\.write|\beval\(|\bfetch\("
    assert not re.search(by_markup, script)
    assert not re.search(r"url\(|@import|https?:", style + script)


def test_hostile_text_comes_back_as_it_was() -> None:
    page = render(sample_reports.hostile())
    assert page.isprintable() or "\x00" not in page
    page.encode()
    view = shown(page)
    assert view["chain"][0]["name"] == f"{sample_reports.HOSTILE}0"
    assert view["rows"][0]["arms"]["everylayer"]["traces"][0]["spans"][0]["events"][0][
        "attributes"
    ]["exception.message"].startswith(sample_reports.HOSTILE)


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=[])) | st.from_regex(r"</?s[^>]*>|<!--|-->"))
def test_no_text_leaves_the_block(text: str) -> None:
    report = replace(sample_reports.empty(), target=text)
    assert shown(render(report))["target"] == text


def test_totals_count_what_was_reached() -> None:
    report = sample_reports.small()
    view = shown(render(report))
    lost = sum(not row.verdicts["stock"].ok for row in report.rows)
    assert view["totals"] == {
        "stock": {"put": len(report.rows) - 1, "lost": lost, "unreached": 1},
        "everylayer": {"put": len(report.rows) - 1, "lost": 0, "unreached": 1},
    }
    assert 0 < lost < len(report.rows)


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (None, "absent"),
        (Verdict(reached=False, why=("x",)), "unreached"),
        (Verdict(event=True), "ok"),
        (Verdict(event=False, why=("x",)), "lost"),
        (Verdict(event=True, once=False, why=("x",)), "wrong"),
    ],
)
def test_a_verdict_is_one_word(verdict: Verdict | None, expected: str) -> None:
    assert state(verdict) == expected


def test_each_row_has_an_address_of_its_own() -> None:
    for report in (sample_reports.small(), sample_reports.large()):
        ids = [row["id"] for row in shown(render(report))["rows"]]
        assert len(ids) == len(set(ids)) == len(report.rows)


def test_spans_stand_below_their_parents_by_time() -> None:
    root = SpanData("root", "t", "a", start=1000, end=9000)
    late = SpanData("late", "t", "b", "a", start=7000, end=12000)
    early = SpanData("early", "t", "c", "a", start=2000, end=3000)
    inner = SpanData("inner", "t", "d", "b", start=7500, end=0, events=(SpanEvent("x", 8500),))
    orphan = SpanData("orphan", "t", "e", "gone", start=500, end=600)
    drawn = waterfall([inner, late, orphan, early, root])
    assert [(s["name"], s["depth"], s["at"], s["lasts"]) for s in drawn] == [
        ("orphan", 0, 0, 0.1),
        ("root", 0, 0.5, 8.0),
        ("early", 1, 1.5, 1.0),
        ("late", 1, 6.5, 5.0),
        ("inner", 2, 7.0, None),
    ]
    assert drawn[-1]["events"][0]["at"] == 8.0


def test_a_cycle_of_parents_and_an_id_twice_show_each_span_once() -> None:
    first = SpanData("first", "t", "a", "b", start=1)
    second = SpanData("second", "t", "b", "a", start=2)
    own = SpanData("own", "t", "c", "c", start=3)
    again = SpanData("again", "t", "c", "c", start=4)
    assert [s["name"] for s in waterfall([own, again, second, first])] == [
        "first",
        "second",
        "own",
        "again",
    ]


def test_a_long_line_of_descendants_is_drawn() -> None:
    spans = [SpanData("s", "t", f"{n}", f"{n - 1}", start=n) for n in range(5000)]
    assert len(waterfall(spans)) == 5000


def test_values_that_javascript_cannot_hold_are_text() -> None:
    attributes: dict[str, Any] = {
        "big": 2**63,
        "huge": 10**5000,
        "nan": float("nan"),
        "bytes": b"\xff",
        "list": [float("inf")],
    }
    page = render_traces("x", [SpanData("s", "t", "a", attributes=attributes)])
    got = shown(page)["traces"][0]["spans"][0]["attributes"]
    assert got["big"] == str(2**63)
    assert got["huge"].startswith("0x")
    assert (got["nan"], got["bytes"], got["list"]) == ("nan", "b'\\xff'", ["inf"])


def test_traces_with_an_error_come_first() -> None:
    failing = SpanEvent("exception", 5, {"exception.type": "ValueError"})
    spans = [
        SpanData("good", "1", "a", start=1, end=2),
        SpanData("later", "2", "b", start=9, end=10, status="ERROR"),
        SpanData("raised", "3", "c", start=3, end=4, events=(failing, failing)),
    ]
    traces = shown(render_traces("x", spans))["traces"]
    assert [t["spans"][0]["name"] for t in traces] == ["raised", "later", "good"]
    assert [t["errors"] for t in traces] == [["ValueError"], [], []]


def test_a_large_report_is_a_page_of_a_few_megabytes() -> None:
    report = sample_reports.large(30)
    assert len(report.rows) >= 300
    assert len(render(report)) < 5_000_000
