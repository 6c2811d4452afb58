"""The report in a real Chromium: how it looks, that it can be worked, that it asks for nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sample_reports
from presence import ABSENT

from everylayer.audit.report.page import render, render_traces

if TYPE_CHECKING:
    from chromium import Page

if ABSENT:
    pytest.skip(
        f"the report is not looked at in a browser: {ABSENT}",
        allow_module_level=True,
    )

WIDE, NARROW = (1280, 900), (390, 844)
SIZES = [pytest.param(WIDE, id="1280"), pytest.param(NARROW, id="390")]
LOOK = Path(__file__).with_name("look.js").read_text(encoding="utf-8")
OPEN = "open=3/before/raised"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a page for each kind of report, and one of a trace file."""
    folder = tmp_path_factory.mktemp("site")
    for name in ("small", "large", "hostile", "empty"):
        report = getattr(sample_reports, name)()
        (folder / f"{name}.html").write_text(render(report), encoding="utf-8")
    for name, report in (("traces", sample_reports.small()), ("odd", sample_reports.hostile())):
        spans = [span for row in report.rows for span in row.trials["stock"].spans]
        (folder / f"{name}.html").write_text(render_traces(name, spans), encoding="utf-8")
    return folder


def address(site: Path, name: str, fragment: str = "") -> str:
    return (site / f"{name}.html").as_uri() + (f"#{fragment}" if fragment else "")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("name", "fragment"),
    [
        ("small", ""),
        ("small", OPEN),
        ("large", "show=lost"),
        ("hostile", ""),
        ("hostile", "open=1/before/raised"),
        ("empty", ""),
        ("traces", ""),
        ("odd", ""),
    ],
)
def test_it_is_readable_complete_and_alone(
    browser: Page,
    site: Path,
    pictures: Path,
    name: str,
    fragment: str,
    size: tuple[int, int],
    scheme: str,
) -> None:
    url = address(site, name, fragment)
    browser.show(url, size, scheme)
    is_open = "-open" if "open=" in fragment else ""
    browser.picture(pictures / f"{name}{is_open}-{size[0]}-{scheme}.png", whole=not is_open)
    seen = browser.run(LOOK)
    assert seen["texts"] > 5
    assert {k: v for k, v in seen.items() if k != "texts"} == {
        "faint": [],
        "wide": [],
        "scrolls": False,
        "unnamed": [],
        "small": [],
    }
    assert browser.complaints() == []
    assert [asked.partition("#")[0] for asked in browser.requests()] == [url.partition("#")[0]]


def test_hostile_text_is_text(browser: Page, site: Path) -> None:
    browser.show(address(site, "hostile", "open=1/before/raised"))
    assert "<script>alert(1)</script>" in browser.run(
        "return document.querySelector('.exception .message').textContent.toWellFormed()"
    )
    assert browser.run("return document.querySelectorAll('img, main script').length") == 0


def test_totals_and_findings_stand_at_the_top(browser: Page, site: Path) -> None:
    browser.show(address(site, "small"))
    assert browser.texts(".figure b") == ["23", "0"]
    assert browser.texts(".figure span:last-child") == ["of 32 lost"] * 2
    assert browser.driver.title == "shop.main:app: stock lost 23 of 32, everylayer 0"
    assert "shop/auth.py:51" in browser.texts(".findings li")[0]
    assert "Remedy" in browser.texts(".findings li")[0]


def test_layers_stand_inside_each_other(browser: Page, site: Path) -> None:
    browser.show(address(site, "small"))
    outside = browser.run("""
        const chain = [];
        let at = document.querySelector('[data-row="4.0/before/raised"]');
        while ((at = at.parentElement.closest('.layer'))) chain.unshift(at.ariaLabel);
        return chain;
    """)
    assert outside == [
        "OpenTelemetryMiddleware",
        *(layer[0] for layer in sample_reports.LAYERS),
        "Router",
        "orders",
    ]


def test_a_click_opens_both_traces_and_escape_goes_back(browser: Page, site: Path) -> None:
    browser.show(address(site, "small"))
    seam = browser.one('[data-row="3/before/raised"]')
    assert seam.get_attribute("aria-label") == (
        "AuthMiddleware, before, raised. stock OpenTelemetry: lost; everylayer: recorded"
    )
    seam.click()
    assert browser.texts("dialog h2") == ["AuthMiddleware before · raised"]
    stock, ours = (pane.text for pane in browser.every(".pane"))
    assert "no span of the trace has an exception event" in stock
    assert "InjectedError" not in stock
    assert "everylayer.faults.InjectedError" in ours
    assert "in AuthMiddleware.__call__" in ours
    assert "SELECT orders" in stock
    assert browser.driver.current_url.endswith("#open=3%2Fbefore%2Fraised")
    browser.press("ESCAPE")
    assert browser.texts("dialog h2") == []
    browser.wait(lambda: browser.focused() == seam)
    browser.wait(lambda: "#" not in browser.driver.current_url)


def test_everything_is_within_reach_of_the_keyboard(browser: Page, site: Path) -> None:
    browser.show(address(site, "small"))
    browser.run("arguments[0].focus()", browser.one('[data-row="0/before/raised"]'))
    browser.press("ARROW_RIGHT", "ARROW_DOWN", "ARROW_DOWN")
    at = browser.focused()
    assert at.get_attribute("data-row") == "2/before/swallowed"
    browser.press("ENTER")
    assert browser.texts("dialog h2") == ["RecoveryMiddleware before · swallowed"]
    browser.press("ARROW_RIGHT")
    assert browser.texts("dialog h2") == ["RecoveryMiddleware before · translated"]
    reached = []
    for _ in range(5):
        browser.press("TAB")
        at = browser.focused()
        reached.append(at.get_attribute("aria-label") or at.tag_name)
    assert reached[:4] == ["previous fault", "next fault", "close", "summary"]
    before = browser.one(".pane details").get_property("open")
    browser.run("document.querySelector('.pane summary').focus()")
    browser.press("SPACE")
    assert browser.one(".pane details").get_property("open") is not before
    browser.press("ESCAPE")
    browser.wait(lambda: browser.focused().get_attribute("data-row") == "2/before/translated")


def test_filters_show_less_and_stand_in_the_address(browser: Page, site: Path) -> None:
    browser.show(address(site, "small"))
    assert len(browser.texts("button.seam")) == 33
    browser.one("input[value=lost]").send_keys(" ")
    assert len(browser.texts("button.seam")) == 23
    assert browser.texts("[role=status]") == ["23 of 33 faults shown"]
    browser.one("select").send_keys("Auth")
    assert {
        element.get_attribute("data-row").partition("/")[0]
        for element in browser.every("button.seam")
    } == {"3"}
    assert browser.driver.current_url.endswith("#show=lost&layer=3")
    shown = browser.texts("[role=status]")
    browser.show(browser.driver.current_url)
    assert browser.texts("[role=status]") == shown != []
    assert browser.one("select").get_property("value") == "3"


@pytest.mark.parametrize(
    "fragment", ["open=9/before/raised", "show=%00&layer=%22%3E", "main", "%E0%A4%A", "__proto__=1"]
)
def test_an_address_that_means_nothing_shows_the_whole(
    browser: Page, site: Path, fragment: str
) -> None:
    browser.show(address(site, "small", fragment))
    assert browser.texts(".figure b") == ["23", "0"]
    assert browser.texts("dialog h2") == []
    assert browser.complaints() == []


def test_back_closes_what_a_click_opened(browser: Page, site: Path) -> None:
    browser.show(address(site, "small"))
    browser.one('[data-row="3/before/raised"]').click()
    browser.driver.back()
    browser.wait(lambda: browser.texts("dialog h2") == [])
    browser.driver.forward()
    browser.wait(lambda: browser.texts("dialog h2") == ["AuthMiddleware before · raised"])
    assert "open=" in browser.driver.current_url


def test_a_deep_chain_is_there_at_once(browser: Page, site: Path) -> None:
    browser.show(address(site, "large"))
    assert browser.run("return document.querySelectorAll('button.seam').length") >= 300
    took = browser.run("return performance.getEntriesByType('navigation')[0].domComplete")
    assert took < 3000, "milliseconds"
    narrowest = browser.run(
        "return Math.min(...[...document.querySelectorAll('.title')].map((e) => e.offsetWidth))"
    )
    assert narrowest > 250


def test_a_trace_file_opens_with_its_first_error(browser: Page, site: Path) -> None:
    browser.show(address(site, "traces"))
    assert browser.texts("h1") == ["traces"]
    first = browser.one(".trace")
    assert first.get_property("open")
    assert "InjectedError" in first.text
    browser.one("input[value=failed]").send_keys(" ")
    failed = len(browser.texts(".trace"))
    assert 0 < failed < 33
    trace_id = browser.every(".trace")[2].get_attribute("data-trace")
    browser.one("input[type=search]").send_keys(trace_id)
    assert browser.texts("[role=status]") == ["1 of 33 traces shown"]
    browser.show(address(site, "traces", f"open={trace_id}"))
    assert browser.one(f'[data-trace="{trace_id}"]').get_property("open")


def test_it_prints_on_white_with_its_marks(browser: Page, site: Path, pictures: Path) -> None:
    browser.show(address(site, "small"), scheme="dark")
    browser.cdp("Emulation.setEmulatedMedia", media="print")
    try:
        seen = browser.run(LOOK)
        white = browser.run("return getComputedStyle(document.documentElement).backgroundColor")
        steering, layers = browser.texts(".choice"), browser.texts(".chain h3")
        browser.picture(pictures / "print.png", whole=True)
    finally:
        browser.cdp("Emulation.setEmulatedMedia", media="")
    assert white == "rgb(255, 255, 255)"
    assert (seen["faint"], seen["scrolls"]) == ([], False)
    assert (steering, len(layers)) == ([], 9)
