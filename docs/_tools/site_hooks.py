"""MkDocs' hooks: what the pages link to outside docs/ is part of the site."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docsite.outside import Outside

_outside: list[Outside] = []


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each file beside docs/ that a page links to."""
    outside = Outside(Path(config.config_file_path).parent)
    _outside[:] = [outside]
    pages = {file.src_uri: file.content_string for file in files.documentation_pages()}
    for name, text in outside.collect(pages).items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Turn links that leave docs/, or come from beside it, into links within the site."""
    outside = _outside[0]
    if page.file.src_uri in outside.pages:
        # It has no place in the navigation, so its text may have that space.
        page.meta["hide"] = ["navigation"]
    return outside.inside(page.file.src_uri, markdown)


def on_post_build(config: MkDocsConfig) -> None:
    """Give the search its index as a script too: from file:// a page may load nothing else."""
    folder = Path(config.site_dir) / "search"
    index = (folder / "search_index.json").read_text(encoding="utf-8")
    (folder / "search_index.js").write_text(f"var __index = {index}", encoding="utf-8")
