"""Each quick start does what it shows, from the empty folder to the error in the trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from snippets.pages import name_of, pages
from snippets.run import run

STARTS = [pytest.param(page, id=name_of(page)) for page in pages() if page.parent.name == "start"]


def test_there_are_some() -> None:
    assert STARTS


@pytest.mark.parametrize("page", STARTS)
def test_a_quick_start_does_what_it_shows(page: Path, tmp_path: Path) -> None:
    run(page, tmp_path)
