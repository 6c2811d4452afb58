"""Holds the output that a page shows against what was printed.

A line `...` stands for any lines, `...` within a line for any text. Ids, times and ports differ
from run to run and count as equal.
"""

from __future__ import annotations

import re

VARYING = (
    (re.compile(r"\x1b\[[0-9;]*m"), ""),
    (re.compile(r"\b(0x)?[0-9a-f]{32}\b"), "TRACE"),
    (re.compile(r"\b(0x)?[0-9a-f]{16}\b"), "SPAN"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?"), "TIME"),
    (re.compile(r"\b0x[0-9a-f]{6,}\b"), "ADDRESS"),
    (re.compile(r"[ \t]+$", re.MULTILINE), ""),
)


def plain(text: str) -> str:
    """Return `text` without what differs from run to run."""
    for pattern, instead in VARYING:
        text = pattern.sub(instead, text.replace("\r\n", "\n"))
    return text.strip("\n") + "\n"


def pattern(shown: str) -> str:
    """Return what finds `shown` in an output that has passed `plain`."""
    parts = []
    for line in plain(shown).splitlines():
        if line.strip() == "...":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(".*?".join(map(re.escape, line.split("..."))) + "\n")
    return "".join(parts)


def agrees(shown: str, printed: str) -> bool:
    """Whether a command has printed what is shown, and nothing else."""
    return re.fullmatch(pattern(shown), plain(printed)) is not None


def contains(shown: str, printed: str) -> bool:
    """Whether what is shown stands in a terminal, among other things."""
    return re.search("^" + pattern(shown), plain(printed), re.MULTILINE) is not None
