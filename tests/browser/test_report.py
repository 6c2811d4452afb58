"""The report in a real Chromium: how it looks, that it can be worked, that it asks for nothing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import sample_reports
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from everylayer.audit.report.page import render, render_traces

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


def press(browser: Any, *keys: str) -> None:
    ActionChains(browser.driver).send_keys(*keys).perform()


def text(browser: Any, selector: str) -> list[str]:
    found = browser.driver.find_elements(By.CSS_SELECTOR, selector)
    return [element.text for element in found if element.is_displayed()]


def wait_for(browser: Any, selector: str, expected: list[str]) -> None:
    """Going back or forward is done when the browser gets to it."""
    WebDriverWait(browser, 5).until(lambda b: text(b, selector) == expected)


def one(browser: Any, selector: str) -> Any:
    return browser.driver.find_element(By.CSS_SELECTOR, selector)


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
    browser: Any,
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


def test_hostile_text_is_text(browser: Any, site: Path) -> None:
    browser.show(address(site, "hostile", "open=1/before/raised"))
    assert "<script>alert(1)</script>" in browser.run(
        "return document.querySelector('.exception .message').textContent.toWellFormed()"
    )
    assert browser.run("return document.querySelectorAll('img, main script').length") == 0


def test_totals_and_findings_stand_at_the_top(browser: Any, site: Path) -> None:
    browser.show(address(site, "small"))
    assert text(browser, ".figure b") == ["23", "0"]
    assert text(browser, ".figure span:last-child") == ["of 32 lost"] * 2
    assert browser.driver.title == "shop.main:app: stock lost 23 of 32, everylayer 0"
    assert "shop/auth.py:51" in text(browser, ".findings li")[0]
    assert "Remedy" in text(browser, ".findings li")[0]


def test_layers_stand_inside_each_other(browser: Any, site: Path) -> None:
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


def test_a_click_opens_both_traces_and_escape_goes_back(browser: Any, site: Path) -> None:
    browser.show(address(site, "small"))
    seam = one(browser, '[data-row="3/before/raised"]')
    assert seam.get_attribute("aria-label") == (
        "AuthMiddleware, before, raised. stock OpenTelemetry: lost; everylayer: recorded"
    )
    seam.click()
    assert text(browser, "dialog h2") == ["AuthMiddleware before · raised"]
    stock, ours = (pane.text for pane in browser.driver.find_elements(By.CSS_SELECTOR, ".pane"))
    assert "no span of the trace has an exception event" in stock
    assert "InjectedError" not in stock
    assert "everylayer.faults.InjectedError" in ours
    assert "in AuthMiddleware.__call__" in ours
    assert "SELECT orders" in stock
    assert browser.driver.current_url.endswith("#open=3%2Fbefore%2Fraised")
    press(browser, Keys.ESCAPE)
    assert text(browser, "dialog h2") == []
    assert browser.driver.switch_to.active_element == seam
    assert "#" not in browser.driver.current_url


def test_everything_is_within_reach_of_the_keyboard(browser: Any, site: Path) -> None:
    browser.show(address(site, "small"))
    browser.run("arguments[0].focus()", one(browser, '[data-row="0/before/raised"]'))
    press(browser, Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    at = browser.driver.switch_to.active_element
    assert at.get_attribute("data-row") == "2/before/swallowed"
    press(browser, Keys.ENTER)
    assert text(browser, "dialog h2") == ["RecoveryMiddleware before · swallowed"]
    press(browser, Keys.ARROW_RIGHT)
    assert text(browser, "dialog h2") == ["RecoveryMiddleware before · translated"]
    reached = []
    for _ in range(5):
        press(browser, Keys.TAB)
        at = browser.driver.switch_to.active_element
        reached.append(at.get_attribute("aria-label") or at.tag_name)
    assert reached[:4] == ["previous fault", "next fault", "close", "summary"]
    before = one(browser, ".pane details").get_property("open")
    browser.run("document.querySelector('.pane summary').focus()")
    press(browser, Keys.SPACE)
    assert one(browser, ".pane details").get_property("open") is not before
    press(browser, Keys.ESCAPE)
    at = browser.driver.switch_to.active_element
    assert at.get_attribute("data-row") == "2/before/translated"


def test_filters_show_less_and_stand_in_the_address(browser: Any, site: Path) -> None:
    browser.show(address(site, "small"))
    assert len(text(browser, "button.seam")) == 33
    one(browser, "input[value=lost]").send_keys(Keys.SPACE)
    assert len(text(browser, "button.seam")) == 23
    assert text(browser, "[role=status]") == ["23 of 33 faults shown"]
    one(browser, "select").send_keys("Auth")
    assert {
        element.get_attribute("data-row").partition("/")[0]
        for element in browser.driver.find_elements(By.CSS_SELECTOR, "button.seam:not([hidden])")
    } == {"3"}
    assert browser.driver.current_url.endswith("#show=lost&layer=3")
    shown = text(browser, "[role=status]")
    browser.show(browser.driver.current_url)
    assert text(browser, "[role=status]") == shown != []
    assert one(browser, "select").get_property("value") == "3"


@pytest.mark.parametrize(
    "fragment", ["open=9/before/raised", "show=%00&layer=%22%3E", "main", "%E0%A4%A", "__proto__=1"]
)
def test_an_address_that_means_nothing_shows_the_whole(
    browser: Any, site: Path, fragment: str
) -> None:
    browser.show(address(site, "small", fragment))
    assert text(browser, ".figure b") == ["23", "0"]
    assert text(browser, "dialog h2") == []
    assert browser.complaints() == []


def test_back_closes_what_a_click_opened(browser: Any, site: Path) -> None:
    browser.show(address(site, "small"))
    one(browser, '[data-row="3/before/raised"]').click()
    browser.driver.back()
    wait_for(browser, "dialog h2", [])
    browser.driver.forward()
    wait_for(browser, "dialog h2", ["AuthMiddleware before · raised"])
    assert "open=" in browser.driver.current_url


def test_a_deep_chain_is_there_at_once(browser: Any, site: Path) -> None:
    before = time.perf_counter()
    browser.show(address(site, "large"))
    assert len(browser.driver.find_elements(By.CSS_SELECTOR, "button.seam")) >= 300
    assert time.perf_counter() - before < 5
    narrowest = browser.run(
        "return Math.min(...[...document.querySelectorAll('.title')].map((e) => e.offsetWidth))"
    )
    assert narrowest > 250


def test_a_trace_file_opens_with_its_first_error(browser: Any, site: Path) -> None:
    browser.show(address(site, "traces"))
    assert text(browser, "h1") == ["traces"]
    first = one(browser, ".trace")
    assert first.get_property("open")
    assert "InjectedError" in first.text
    one(browser, "input[value=failed]").send_keys(Keys.SPACE)
    failed = len(text(browser, ".trace"))
    assert 0 < failed < 33
    trace_id = browser.driver.find_elements(By.CSS_SELECTOR, ".trace")[2].get_attribute(
        "data-trace"
    )
    one(browser, "input[type=search]").send_keys(trace_id)
    assert text(browser, "[role=status]") == ["1 of 33 traces shown"]
    browser.show(address(site, "traces", f"open={trace_id}"))
    assert one(browser, f'[data-trace="{trace_id}"]').get_property("open")


def test_it_prints_on_white_with_its_marks(browser: Any, site: Path, pictures: Path) -> None:
    browser.show(address(site, "small"), scheme="dark")
    browser.cdp("Emulation.setEmulatedMedia", media="print")
    try:
        seen = browser.run(LOOK)
        white = browser.run("return getComputedStyle(document.documentElement).backgroundColor")
        steering, layers = text(browser, ".choice"), text(browser, ".chain h3")
        browser.picture(pictures / "print.png", whole=True)
    finally:
        browser.cdp("Emulation.setEmulatedMedia", media="")
    assert white == "rgb(255, 255, 255)"
    assert (seen["faint"], seen["scrolls"]) == ([], False)
    assert (steering, len(layers)) == ([], 9)
