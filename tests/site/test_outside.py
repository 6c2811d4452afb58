"""Links out of docs/ become links within the site, and stay what they are in a plain view."""

from __future__ import annotations

from pathlib import Path

import pytest

from docsite.links import targets
from docsite.outside import Outside

FILES = {
    "README.md": "# Shop\n\n[docs](docs/index.md#one), ![map](docs/map.png), [rules](RULES.md)\n",
    "RULES.md": "# Rules\n\n[back](README.md), [gone](missing.md)\n",
    "deploy/README.md": "# Deploy\n\n[gateway](gateway.yaml)\n",
    "deploy/gateway.yaml": "# a comment, [not a link](../RULES.md)\na: 1\n",
    "tools/run.py": "x = 1\n",
    "tools/.hidden": "",
    "docs/map.png": "",
    "docs/index.md": "",
    "docs/how/to.md": "",
}


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return Outside(tmp_path)


@pytest.mark.parametrize(
    ("markdown", "found"),
    [
        ("[a](x.md) and [b](y.md#z)", ["x.md", "y.md#z"]),
        ("![a](x.png)", ["x.png"]),
        ('[a](x.md "a title")', ["x.md"]),
        ("[`code`](x.md)", ["x.md"]),
        ("[![a](x.png)](y.md)", ["x.png", "y.md"]),
        ('<img src="x.png">', ["x.png"]),
        ("[a]: x.md\n", ["x.md"]),
        ("[a](<x.md>)", ["x.md"]),
        ("`[a](x.md)`", []),
        ("`` `[a](x.md)` ``", []),
        ("```python\n[a](x.md)\n```\n[b](y.md)\n", ["y.md"]),
        ("````\n```\n[a](x.md)\n````\n[b](y.md)\n", ["y.md"]),
        ("~~~\n[a](x.md)\n~~~\n", []),
        ("- text\n\n  ```\n  [a](x.md)\n  ```\n", []),
    ],
)
def test_links_are_found_and_code_is_not(markdown: str, found: list[str]) -> None:
    assert targets(markdown) == found


@pytest.mark.parametrize(
    ("page", "written", "shown"),
    [
        ("index.md", "../README.md", "repository/README.md"),
        ("index.md", "../README.md#one", "repository/README.md#one"),
        ("how/to.md", "../../README.md", "../repository/README.md"),
        ("how/to.md", "../index.md#one", "../index.md#one"),
        ("index.md", "../deploy", "repository/deploy/README.md"),
        ("index.md", "../deploy/gateway.yaml", "repository/deploy/gateway.yaml.md"),
        ("index.md", "../tools/", "repository/tools.md"),
        ("index.md", "../missing.md", "../missing.md"),
        ("index.md", "https://example.org/../README.md", "https://example.org/../README.md"),
        ("index.md", "#one", "#one"),
        ("index.md", "../../elsewhere", "../../elsewhere"),
    ],
)
def test_a_page_of_docs_leads_to_pages_of_the_site(
    outside: Outside, page: str, written: str, shown: str
) -> None:
    found = outside.collect({page: f"[a]({written})"})
    assert outside.inside(page, f"[a]({written})") == f"[a]({shown})"
    if "repository" in shown:
        assert any(shown.partition("#")[0].endswith(name) for name in found)


def test_what_a_page_beside_docs_links_to_is_there_too(outside: Outside) -> None:
    found = outside.collect({"index.md": "[all](../README.md)"})
    assert set(found) == {"repository/README.md", "repository/RULES.md"}
    name = "repository/README.md"
    assert outside.inside(name, found[name]) == (
        "# Shop\n\n[docs](../index.md#one), ![map](../map.png), [rules](RULES.md)\n"
    )
    assert "[gone](missing.md)" in outside.inside(
        "repository/RULES.md", found["repository/RULES.md"]
    )


def test_a_file_is_shown_as_code_and_a_folder_as_a_list(outside: Outside) -> None:
    found = outside.collect({"index.md": "[a](../deploy/gateway.yaml) [b](../tools)"})
    gateway = found["repository/deploy/gateway.yaml.md"]
    assert "# deploy/gateway.yaml\n" in gateway
    assert f"````yaml\n{FILES['deploy/gateway.yaml']}" in gateway
    assert targets(gateway) == []
    assert found["repository/tools.md"].endswith("# tools\n\n- `run.py`\n")
