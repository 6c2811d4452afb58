"""The README lists each setting."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from everylayer import Settings

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("field", dataclasses.fields(Settings), ids=lambda field: field.name)
def test_a_setting_is_listed(field: dataclasses.Field[object]) -> None:
    rows = [
        line.split("|")
        for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
        if line.startswith(f"| `{field.name}` |")
    ]
    assert len(rows) == 1
    default = field.default
    shown = rows[0][2].strip().strip("`")
    if isinstance(default, bool | int | str):
        assert shown == str(default).lower()
