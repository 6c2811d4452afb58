"""A page's code blocks, as they stand in Markdown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
FENCE = re.compile(
    r"(?:^ *<!-- not run: (?P<reason>[^\n]+?) -->\n\s*)?"
    r"^(?P<indent> *)```(?P<kind>\w+)(?P<info>[^\n]*)\n(?P<body>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
TITLE = re.compile(r'title="([^"]+)"')


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block; `reason` says why it is not run, if it is marked so."""

    kind: str
    title: str
    body: str
    line: int
    reason: str


def pages() -> list[Path]:
    """Return every page of the documentation and every README of a package."""
    found = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("packages/*/README.md")]
    return sorted(found)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page in order."""
    text = page.read_text(encoding="utf-8")
    return [block(text, match) for match in FENCE.finditer(text)]


def block(text: str, match: re.Match[str]) -> Block:
    indent = len(match["indent"])
    body = "".join(line[indent:] or "\n" for line in match["body"].splitlines(keepends=True))
    title = TITLE.search(match["info"])
    line = text.count("\n", 0, match.start("body")) + 1
    return Block(match["kind"], title[1] if title else "", body, line, match["reason"] or "")


def commands(body: str) -> list[tuple[str, str]]:
    """Return what a console block has typed after `$`, each with the output shown below it.

    A block without any `$` is nothing but commands.
    """
    if not body.startswith("$ "):
        body = "".join(f"$ {line}\n" for line in body.splitlines())
    typed: list[list[str]] = []
    goes_on = False
    for line in body.splitlines():
        if goes_on:
            typed[-1][0] += f"\n{line}"
        elif line.startswith("$ "):
            typed.append([line[2:], ""])
        elif typed:
            typed[-1][1] += f"{line}\n"
        goes_on = line.endswith("\\") and (goes_on or line.startswith("$ "))
    return [(command, shown) for command, shown in typed]
