"""docs/settings.md says what the code does."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import settings_pages
from everylayer import Settings

ROOT = Path(__file__).parents[2]
REMEDY = "run: python docs/_tools/settings_pages.py"
VARIABLE = re.compile(r"(?:OTEL|EVERYLAYER)_[A-Z_]*[A-Z]")
# What the audit says to the processes that it starts, for whatever else is installed there.
SAID = ROOT / "packages/core/src/everylayer/audit/process.py"


def literals(path: Path) -> Iterator[str]:
    """Yield the strings in a module that are the name of a variable and nothing else."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found = VARIABLE.fullmatch(node.value)
            if found:
                yield found[0]


def test_the_page_is_what_the_code_says() -> None:
    assert settings_pages.PAGE.read_text(encoding="utf-8") == settings_pages.page(), REMEDY


@pytest.mark.parametrize("field", dataclasses.fields(Settings), ids=lambda field: field.name)
def test_a_setting_has_a_line_of_its_own_in_the_code(field: dataclasses.Field[object]) -> None:
    text = field.metadata["help"]
    assert 10 < len(text) < 150
    assert not text.endswith(".")
    assert "|" not in text


def test_every_variable_that_the_code_reads_is_listed() -> None:
    read = {
        variable
        for path in (ROOT / "packages").glob("*/src/**/*.py")
        if path != SAID
        for variable in literals(path)
    }
    assert "OTEL_SERVICE_NAME" in read
    page = settings_pages.page()
    assert {name for name in read if f"`{name}`" not in page} == set()
