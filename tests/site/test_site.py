"""The built site: every link leads somewhere, nothing is asked of anybody, no name is missing."""

from __future__ import annotations

import ast
import itertools
import json
import posixpath
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import site_pages as pages
from site_pages import ROOT, SITE

NAMES = pages.names()
# The site's own error page is served at any path; the benchmarks' page is a document of its own.
DOCUMENTS = [name for name in NAMES if name not in ("404.html", "benchmarks/index.html")]
WRITTEN = [name for name in DOCUMENTS if not name.startswith("repository/")]


def exported(path: Path) -> list[str]:
    """Return `__all__` of a module, read from its source."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return [str(name) for name in ast.literal_eval(node.value)]
    return []


def public_names() -> list[str]:
    """Return every name that a package of ours exports, `everylayer.record`."""
    modules = [
        *ROOT.glob("packages/*/src/*/__init__.py"),
        *(ROOT / "packages/core/src/everylayer").glob("*/__init__.py"),
    ]
    return sorted(
        f"{'.'.join(module.parent.relative_to(ROOT).parts[3:])}.{name}"
        for module in modules
        for name in exported(module)
    )


def resolved(name: str, target: str) -> tuple[str, str]:
    """Return the page, and the anchor, that `target` on page `name` leads to."""
    parts = urlsplit(target)
    path = posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(parts.path)))
    return (path if parts.path else name), unquote(parts.fragment)


def test_the_site_is_built() -> None:
    assert len(WRITTEN) > 30, "run: python -m nox -s docs"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_to_a_page_and_a_place_on_it(name: str) -> None:
    dead = []
    for target in pages.page(name).links:
        if urlsplit(target).scheme or target.startswith("//"):
            continue
        page, anchor = resolved(name, target)
        page = f"{page}/index.html" if (SITE / page).is_dir() else page
        if not (SITE / page).is_file() or (
            anchor and page.endswith(".html") and anchor not in pages.page(page).ids
        ):
            dead.append(target)
    assert dead == []


@pytest.mark.parametrize("name", NAMES)
def test_no_page_loads_anything_from_elsewhere(name: str) -> None:
    loads = pages.page(name).loads
    assert [target for target in loads if urlsplit(target).scheme or target.startswith("//")] == []
    if name != "404.html":
        missing = [target for target in loads if not (SITE / resolved(name, target)[0]).is_file()]
        assert missing == []
    # Material fetches what draws these from a server of others.
    assert not {"mermaid", "giscus"} & pages.page(name).classes


def test_no_style_loads_anything_from_elsewhere() -> None:
    styles = list(SITE.rglob("*.css"))
    assert styles
    for path in styles:
        text = path.read_text(encoding="utf-8")
        used = re.findall(r"(?:url\(|@import\s)\s*['\"]?([^'\")]+)", text)
        assert [target for target in used if re.match(r"(https?:)?//", target)] == [], path.name


PUBLIC = public_names()


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_in_the_reference(name: str) -> None:
    found = [page for page in NAMES if page.startswith("reference/")]
    package, _, last = name.rpartition(".")
    if package == "everylayer.clients":
        name = f"{name}.attach"
    elif f"everylayer.{last}" in PUBLIC:
        # What both export is described once.
        name = f"everylayer.{last}" if package == "everylayer.redaction" else name
    assert [page for page in found if name in pages.page(page).ids], "write it into docs/reference"


def test_so_are_the_fixtures_of_the_plugin() -> None:
    source = (ROOT / "packages/core/src/everylayer_pytest.py").read_text(encoding="utf-8")
    fixtures = re.findall(r"@pytest\.fixture.*\ndef (\w+)", source)
    assert "error_spans" in fixtures
    ids = pages.page("reference/testing.html").ids
    assert {f"everylayer_pytest.{name}" for name in fixtures} - ids == set()


@pytest.mark.parametrize("name", WRITTEN)
def test_no_markup_is_left_as_text(name: str) -> None:
    prose = pages.page(name).prose
    left = re.compile(r"\]\(|\]\[|```|^\s*:::|\n(?:[-*]|1\.) |\{ ?[#.:]|^\|.*\|$", re.MULTILINE)
    assert [text for text in prose if left.search(text)] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_page_has_one_title_and_levels_in_order(name: str) -> None:
    levels = [level for level, _ in pages.page(name).headings]
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(levels)), levels


@pytest.mark.parametrize("name", WRITTEN)
def test_its_sections_are_in_its_table_of_contents(name: str) -> None:
    page = pages.page(name)
    sections = [anchor for level, anchor in page.headings if level == 2]
    assert [anchor for anchor in sections if f"#{anchor}" not in page.links] == []
    assert all(sections)


def test_the_search_knows_every_page_with_a_server_and_without() -> None:
    index = (SITE / "search" / "search_index.json").read_text(encoding="utf-8")
    known = {entry["location"].partition("#")[0] for entry in json.loads(index)["docs"]}
    assert set(WRITTEN) - known == set()
    script = (SITE / "search" / "search_index.js").read_text(encoding="utf-8")
    assert script == f"var __index = {index}"
