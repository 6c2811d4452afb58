"""Every page does what it shows: its code runs, its commands print what stands below them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from snippets.checks import stands_in
from snippets.pages import ROOT, blocks, name_of, pages
from snippets.run import run

# The quick starts have a file of their own: a file stays in one process.
SHOWN = [
    pytest.param(page, id=name_of(page))
    for page in pages()
    if blocks(page) and page.parent.name != "start"
]
# Text of a protocol, queries and drawings: nothing that a shell or an interpreter takes.
READ_ONLY = {"text", "http", "promql", "mermaid"}
CHECKED = {"python", "console", "shell", "sh", "bash", "toml", "yaml", "json", "ini"}


@pytest.mark.parametrize("page", SHOWN)
def test_a_page_does_what_it_shows(page: Path, tmp_path: Path) -> None:
    run(page, tmp_path)


def test_every_kind_of_block_is_known() -> None:
    kinds = {block.kind for page in pages() for block in blocks(page)}
    assert kinds <= CHECKED | READ_ONLY


def test_few_blocks_are_not_run() -> None:
    every = [block for page in pages() for block in blocks(page) if block.kind in CHECKED]
    marked = [block for block in every if block.reason]
    assert len(marked) * 10 <= len(every)


def test_envoys_parts_are_those_of_the_deployment() -> None:
    page = ROOT / "docs" / "howto" / "kubernetes-envoy.md"
    text = (ROOT / "deploy" / "envoy" / "envoy.yaml").read_text(encoding="utf-8")
    whole = yaml.safe_load(re.sub(r"\$\{\w+\}", "0", text))
    parts = [block for block in blocks(page) if block.title.startswith("deploy/envoy/")]
    assert parts
    for part in parts:
        assert stands_in(yaml.safe_load(part.body), whole), part.body
