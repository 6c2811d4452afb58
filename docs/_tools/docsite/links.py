"""Links of a Markdown page, as a plain view of the repository reads them: relative to its file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

_FENCE = re.compile(r" *(`{3,}|~{3,})")
# Code goes first, so that no link is seen within it; the code of a link's own text is part of it.
_LINK = re.compile(
    r"(?P<code>(?<!`)(?P<ticks>`+)(?!`).*?(?<!`)(?P=ticks)(?!`))"
    r"|(?P<before>\]\(<?)(?P<target>[^\s<>()]+)(?P<after>>?(?:\s+\"[^\"]*\")?\))"
    r"|(?P<before_src>(?:src|href)=\")(?P<target_src>[^\"]+)(?P<after_src>\")"
    r"|(?P<before_ref>^\[[^\]]+\]:\s+)(?P<target_ref>\S+)(?P<after_ref>)"
)


def rewritten(markdown: str, change: Callable[[str], str]) -> str:
    """Return `markdown` with each link's target as `change` returns it; code is left alone."""

    def one(found: re.Match[str]) -> str:
        if found["code"]:
            return found[0]
        kind = "" if found["target"] else "_src" if found["target_src"] else "_ref"
        target = change(found[f"target{kind}"])
        return f"{found[f'before{kind}']}{target}{found[f'after{kind}']}"

    return "".join(line if is_code else _LINK.sub(one, line) for line, is_code in _lines(markdown))


def targets(markdown: str) -> list[str]:
    """Return the targets of all links in `markdown`."""
    found: list[str] = []

    def note(target: str) -> str:
        found.append(target)
        return target

    rewritten(markdown, note)
    return found


def _lines(markdown: str) -> Iterator[tuple[str, bool]]:
    """Yield each line, and whether it belongs to a block of code."""
    fence = ""
    for line in markdown.splitlines(keepends=True):
        mark = _FENCE.match(line)
        if fence:
            yield line, True
            if mark and mark[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
        else:
            fence = mark[1] if mark else ""
            yield line, bool(mark)
