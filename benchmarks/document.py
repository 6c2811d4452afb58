"""A document as blocks, written as Markdown for the repository and as one HTML page."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Heading:
    """A title; level 1 is that of the document."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Table:
    """Rows of cells under a row of titles; the first column is text, the others are numbers."""

    titles: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Image:
    """A picture in the folder of pictures."""

    file: str
    text: str


Block = Heading | Text | Table | Image


def to_markdown(blocks: Sequence[Block], folder: str) -> str:
    """Return the document for a file that stands beside the `folder` of its pictures."""
    return "\n\n".join(_markdown(block, folder) for block in blocks) + "\n"


def _markdown(block: Block, folder: str) -> str:
    if isinstance(block, Heading):
        return f"{'#' * block.level} {block.text}"
    if isinstance(block, Image):
        return f"![{block.text}]({folder}/{block.file})"
    if isinstance(block, Text):
        return block.text
    aligned = ["---", *(["--:"] * (len(block.titles) - 1))]
    rows = [block.titles, aligned, *block.rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


_STYLE = """
:root { color-scheme: light dark; --line: #8884; --head: #8881; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; }
th { background: var(--head); }
img { max-width: 100%; background: #fff; }
code { background: var(--head); padding: .1em .3em; border-radius: .2em; }
"""


def to_html(blocks: Sequence[Block], pictures: Path) -> str:
    """Return the document as one page that needs nothing else."""
    title = next((b.text for b in blocks if isinstance(b, Heading) and b.level == 1), "")
    body = "\n".join(_html(block, pictures) for block in blocks)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _html(block: Block, pictures: Path) -> str:
    if isinstance(block, Heading):
        return f"<h{block.level}>{_inline(block.text)}</h{block.level}>"
    if isinstance(block, Text):
        return f"<p>{_inline(block.text)}</p>"
    if isinstance(block, Image):
        data = base64.b64encode((pictures / block.file).read_bytes()).decode()
        return f'<img alt="{html.escape(block.text)}" src="data:image/png;base64,{data}">'
    head = "".join(f"<th>{_inline(cell)}</th>" for cell in block.titles)
    rows = "\n".join(
        f"<tr>{''.join(f'<td>{_inline(cell)}</td>' for cell in row)}</tr>" for row in block.rows
    )
    return f'<div class="wide"><table>\n<tr>{head}</tr>\n{rows}\n</table></div>'


def _inline(text: str) -> str:
    """Return `text` with its code and bold marks as HTML."""
    for mark, tag in (("`", "code"), ("**", "b")):
        parts = (html.escape(text) if mark == "`" else text).split(mark)
        text = "".join(f"<{tag}>{p}</{tag}>" if n % 2 else p for n, p in enumerate(parts))
    return text
