"""Pages of docs/, read as a test needs them: their tables and their blocks of code."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)


def text_of(path: str) -> str:
    """Return the page at `path`, relative to docs/."""
    return (ROOT / "docs" / path).read_text(encoding="utf-8")


def section(page: str, heading: str) -> str:
    """Return what stands under `heading`, up to the next one of its level or above."""
    found = [(match.start(), len(match[1]), match[2]) for match in _HEADING.finditer(page)]
    for number, (start, level, title) in enumerate(found):
        if title == heading:
            ends = [begin for begin, other, _ in found[number + 1 :] if other <= level]
            return page[start : ends[0] if ends else None]
    raise AssertionError(f"no heading {heading!r}")


def rows(part: str) -> list[list[str]]:
    """Return the cells of all tables in `part`, without their headers and rules."""
    lines = [line.strip() for line in part.splitlines()]
    found = []
    for number, line in enumerate(lines):
        follows = lines[number + 1] if number + 1 < len(lines) else ""
        if line.startswith("|") and not is_rule(line) and not is_rule(follows):
            found.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return found


def is_rule(line: str) -> bool:
    """Tell whether `line` separates the head of a table from its rows."""
    return bool(re.fullmatch(r"\|[-:| ]+\|", line))


def names(part: str, column: int = 0) -> list[str]:
    """Return what stands in backquotes in one column of the tables in `part`."""
    return [name for row in rows(part) for name in re.findall(r"`([^`]+)`", row[column])]


def blocks(part: str, language: str) -> list[str]:
    """Return the blocks of code in `part` that say they are `language`."""
    return [code for said, code in _FENCE.findall(part) if said == language]
