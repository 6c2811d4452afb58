"""One Chromium for all tests here; without one they are skipped, and the reason says so."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "audit")]

try:
    from chromium import Page, executables, start
except ImportError as error:
    ABSENT = f"{error}: run `nox -s browser`"
else:
    ABSENT = "" if executables() else "no chromium with its chromedriver on PATH"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pictures", type=Path, help="folder for screenshots of the report")


@pytest.fixture(scope="session")
def browser() -> Iterator[Page]:
    if ABSENT:
        pytest.skip(f"the report was not looked at in a browser: {ABSENT}")
    driver = start()
    try:
        yield Page(driver)
    finally:
        driver.quit()


@pytest.fixture(scope="session")
def pictures(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = request.config.getoption("--pictures") or tmp_path_factory.mktemp("pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
