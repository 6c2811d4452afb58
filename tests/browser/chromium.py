"""A headless Chromium of the machine's own, driven through its WebDriver; nothing is fetched."""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from selenium.webdriver import ActionChains, Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def executables() -> tuple[str, str] | None:
    """Return the paths of browser and driver; a variable of the environment wins over PATH."""
    browser = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = os.environ.get("CHROMEDRIVER") or shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


def start() -> Chrome:
    """Start a browser that has no network but this machine's files."""
    found = executables()
    assert found, "look with `executables` first"
    browser, driver = found
    options = ChromeOptions()
    options.binary_location = browser
    for argument in (
        "--headless=new",
        # Root, as in a container, has no sandbox to use.
        *(["--no-sandbox"] if getattr(os, "geteuid", lambda: 1)() == 0 else []),
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--hide-scrollbars",
        "--disable-component-update",
        "--disable-background-networking",
        "--host-resolver-rules=MAP * ~NOTFOUND",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return Chrome(options=options, service=Service(driver))


class Page:
    """A page as a test looks at it: at a size, in a scheme, with what it logged and asked for."""

    __slots__ = ("driver",)

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def show(self, url: str, size: tuple[int, int] = (1280, 900), scheme: str = "light") -> None:
        """Load `url` anew, after forgetting what was logged before."""
        self.cdp(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )
        width, height = size
        self.cdp(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.driver.get("about:blank")
        self.driver.get_log("performance")
        self.driver.get_log("browser")
        self.driver.get(url)

    def cdp(self, command: str, **parameters: Any) -> Any:
        return self.driver.execute_cdp_cmd(command, parameters)

    def run(self, script: str, *arguments: object) -> Any:
        return self.driver.execute_script(script, *arguments)  # type: ignore[no-untyped-call]

    def one(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def every(self, selector: str) -> list[WebElement]:
        """Return the elements that are to be seen."""
        found = self.driver.find_elements(By.CSS_SELECTOR, selector)
        return [element for element in found if element.is_displayed()]

    def texts(self, selector: str) -> list[str]:
        return [element.text for element in self.every(selector)]

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait for what the browser does when it gets to it: events, steps in the history."""
        WebDriverWait(self, 5).until(lambda page: condition())

    def press(self, *names: str) -> None:
        """Press keys by their names in WebDriver, one after another."""
        ActionChains(self.driver).send_keys(*(getattr(Keys, name) for name in names)).perform()

    def focused(self) -> WebElement:
        return self.driver.switch_to.active_element

    def complaints(self) -> list[str]:
        """Return what the console holds, breaches of the content policy included."""
        return [entry["message"] for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]

    def requests(self) -> list[str]:
        """Return the address of each request since the page was loaded."""
        entries = self.driver.get_log("performance")  # type: ignore[no-untyped-call]
        messages = [json.loads(entry["message"])["message"] for entry in entries]
        sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        return [params["request"]["url"] for params in sent]

    def picture(self, path: Path, *, whole: bool = False) -> None:
        taken = self.cdp(
            "Page.captureScreenshot",
            format="png",
            captureBeyondViewport=whole,
            **(self._clip() if whole else {}),
        )
        path.write_bytes(base64.b64decode(taken["data"]))

    def _clip(self) -> dict[str, Any]:
        width, height = self.run(
            "const e = document.documentElement; return [e.clientWidth, e.scrollHeight]"
        )
        return {"clip": {"x": 0, "y": 0, "width": width, "height": min(height, 6000), "scale": 1}}
