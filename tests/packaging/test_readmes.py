"""The READMEs hold what they say: each Python block runs, each setting is listed."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from everylayer import Settings

ROOT = Path(__file__).parents[2]
READMES = [ROOT / "README.md", *sorted(ROOT.glob("packages/*/README.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [
    pytest.param(block, id=f"{path.relative_to(ROOT)}-{number}")
    for path in READMES
    for number, block in enumerate(BLOCK.findall(path.read_text(encoding="utf-8")))
]


def test_each_readme_shows_code() -> None:
    assert len(READMES) == 7
    assert all(BLOCK.search(path.read_text(encoding="utf-8")) for path in READMES)


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_runs_as_written(block: str, tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:__main__", "-c", block],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.returncode == 0, answer.stderr
    assert not answer.stderr


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
