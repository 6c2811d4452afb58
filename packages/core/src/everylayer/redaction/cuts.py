"""Where the end of a long text may begin, so that it is not the rest of a secret."""

from __future__ import annotations

import re

from .patterns import Finder

# Names and signs before a quoted value.
_BEFORE = 160
_QUOTES = "\"'`"
# Quotes that are none, for a backslash stands before them.
_MOST_ESCAPED = 20_000
_BETWEEN = "\\ \t[({bBrRuUfF"
_SIGNS = ("=", ":", ",", ">")
# Where the value of a header without quotes ends.
_LINE_END = re.compile("[\r\n\"'`\\\\]")
_HEADERS = ("ookie", "OOKIE", "uthorization", "UTHORIZATION")


def behind_open(text: str, base: int, edge: int, named: Finder) -> int:
    """Return from where on the end of `text` may be shown, `edge` or further on.

    What begins before `base` is not seen by any rule: of what may reach to `edge` from there, a
    value in quotes that has a sensitive name, or the line of a header, nothing is shown.

    Args:
        text: any.
        base: from where on it is looked at.
        edge: from where on it would be shown.
        named: finds values by their names.
    """
    start = edge
    for quote in _QUOTES:
        if _next(text, quote, base, edge) < 0 and _opens(text, quote, base, named):
            end = _next(text, quote, edge, len(text))
            start = max(start, len(text) if end < 0 else end)
    if _LINE_END.search(text, base, edge) is None:
        header = max(text.rfind(sign, 0, base) for sign in _HEADERS)
        if header >= 0 and _LINE_END.search(text, header, base) is None:
            stop = _LINE_END.search(text, edge)
            start = max(start, len(text) if stop is None else stop.start())
    return start


def _next(text: str, quote: str, start: int, end: int) -> int:
    """Return where the next quote is that no backslash stands before, -1 for none."""
    at = text.find(quote, start, end)
    while at > 0 and text[at - 1] == "\\":
        at = text.find(quote, at + 1, end)
    return at


def _opens(text: str, quote: str, base: int, named: Finder) -> bool:
    """Tell whether the last such quote before `base` opens the value of a sensitive name."""
    at = base
    for _ in range(_MOST_ESCAPED):
        at = text.rfind(quote, 0, at)
        if at < 0:
            return False
        before = text[max(at - _BEFORE, 0) : at]
        if before.rstrip(_BETWEEN)[-1:] in _SIGNS and any(
            start == len(before) + 1 for start, _ in named(f"{before}{quote}x1y2")
        ):
            return True
        if at == 0 or text[at - 1] != "\\":
            return False
    # It is full of them: whoever opened it is too far away to be known.
    return True
