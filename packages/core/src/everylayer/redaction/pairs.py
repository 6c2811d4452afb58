"""Values that have a sensitive name before them: `name=value`, `"name": "value"`, headers."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable

from .patterns import Finder, Span

# A text and where to look from, to where a value may begin and whether it is a header's.
Heads = Callable[[str, int], "tuple[int, bool] | None"]

NAMES = (
    r"pass(?:word|wd|phrase|code)s?",
    r"secrets?",
    r"(?:access|auth|refresh|id|bearer|csrf|xsrf|api|session|user)?[_-]?token",
    r"api[_-]?keys?",
    r"(?:access|private|account|encryption|signing|master|secret|client)[_-]?(?:access[_-]?)?key",
    r"credentials?",
    r"session[_-]?(?:id|key)",
    r"connection[_-]?string",
)
# Short or common: whole words only.
WORDS = (
    "auth",
    "cookies?",
    "csrf",
    "cvc2?",
    "cvv2?",
    "otp",
    "pass",
    "pin",
    "pwd",
    "session",
    "sid",
    "sig",
)
FINANCE = (
    r"account[_-]?(?:no|number|nr)",
    r"card[_-]?(?:no|number|nr)",
    r"iban",
    r"pan",
    r"routing[_-]?(?:no|number)",
    r"security[_-]?code",
    r"sort[_-]?code",
)
# Their value takes the rest of the line.
_HEADERS = (
    r"(?:proxy[_-])?authorization|(?:set[_-])?cookie|x[_-](?:api|auth|access)[_-](?:key|token)"
)

# What stands between a name and its value.
_TAIL = (
    r"(?:(?:\\{0,4}[\"'`])?\]?[ \t]{0,4}(?::=|=>|={1,2}|:)[ \t]{0,4}"
    r"|(?P<pair>[\"']),[ \t]{0,4}(?=[bB]?[\"']))"
)
# The whole word, and a look at what follows before going into it.
_WORD = r"(?P<word>[\w-]+)(?=[\\\"'`\] \t:=])"
# Names that may only match what `_WORD` does.
_WORDY = re.compile(r"(?:\w|\[_-\]\?|\(\?:|[|)])*")

_SUFFIX = r"(?:[_-]?(?:[0-9]{1,3}|base64|b64|data|hash|hex|value))?"
_QUOTED = {
    quote: re.compile(rf"[^{quote}\\]*(?:\\[\s\S][^{quote}\\]*)*") for quote in ("'", '"', "`")
}
_ESCAPED = {
    "\\" * many + quote: re.compile(r"(?<!\\)" + r"\\" * many + quote)
    for quote in ("'", '"', "`")
    for many in range(1, 5)
}
_OPENING = re.compile(r"[\[({]?[bBrRuUfF]{0,2}(?P<quote>\\{0,4}[\"'`])")
_PLAIN = re.compile("[^\\s&;\"'`<>]+")
_NEXT_PAIR = re.compile(r",(?=[\w.-]{1,64}[=:])")
_LINE = re.compile(r"[^\r\n\"'`\\]+")
# What is said about a value is not the value: `token: expired`.
_SAID = re.compile(
    r"(?:a|an|and|cannot|empty|expired|false|field|has|invalid|is|missing|must|nil|no|none|not|null|"
    r"ok|required|should|the|this|too|true|undefined|unknown|was|\*+|\.{3}|\[[a-z_]{1,40}(?:[:#][\w.:=-]{1,200})?\]?)"
    r"(?![\w!@#$%^*=+-])",
    re.IGNORECASE,
)


def finder(more: Iterable[str] = (), *, literals_only: bool = False) -> Finder:
    """Return what finds the values of the names known, and of `more`, regular expressions.

    Args:
        more: further names.
        literals_only: in source code only a quoted string is a value; `token=token` is none.
    """
    heads = _heads(tuple(more))

    def find(text: str) -> Iterable[Span]:
        at = 0
        while (head := heads(text, at)) is not None:
            at, whole_line = head
            span = _value(text, at, whole_line, literals_only)
            if span is not None:
                yield span
                at = max(at, span[1])

    return find  # type: ignore[return-value]


@functools.lru_cache(maxsize=8)
def _heads(more: tuple[str, ...]) -> Heads:
    return _of_words(more) if all(map(_WORDY.fullmatch, more)) else _of_anything(more)


def _names(more: Iterable[str]) -> str:
    short = "|".join(WORDS)
    names = "|".join([*NAMES, *more])
    return rf"(?:(?P<line>{_HEADERS})|(?:{names})|(?<![A-Za-z])(?:{short})){_SUFFIX}"


def _of_anything(more: tuple[str, ...]) -> Heads:
    """Return what looks for names at each character."""
    search = re.compile(_names(more) + _TAIL, re.IGNORECASE).search

    def find(text: str, at: int) -> tuple[int, bool] | None:
        while (found := search(text, at)) is not None:
            at = found.end()
            if found["line"] or not found["pair"]:
                return at, bool(found["line"])
        return None

    return find


def _of_words(more: tuple[str, ...]) -> Heads:
    """Return the same for names of letters, digits, `_` and `-`.

    Few words have what comes before a value behind them, and only those can end in a name.
    """
    words = re.compile(rf"(?<![\w-]){_WORD}{_TAIL}").search
    # Names are told apart by their first letters, but not where these may be of either case.
    small = re.compile(_names(map(str.lower, more)) + r"\Z").search
    ascii_names = all(map(str.isascii, more))

    @functools.cache
    def any_case() -> re.Pattern[str]:
        return re.compile(_names(more) + r"\Z", re.IGNORECASE)

    def find(text: str, at: int) -> tuple[int, bool] | None:
        # No value, and nothing before one, ends within a word.
        while (found := words(text, at)) is not None:
            word = found["word"]
            if ascii_names and word.isascii():
                name = small(word.lower())
            else:
                name = any_case().search(text, found.start(), found.end("word"))
            at = found.end()
            if name is not None and (name["line"] or not found["pair"]):
                return at, bool(name["line"])
        return None

    return find


def _value(text: str, at: int, whole_line: bool, literals_only: bool) -> Span | None:
    opening = _OPENING.match(text, at)
    if opening is not None:
        start, end = opening.end(), _closing(text, opening.end(), opening["quote"])
    elif literals_only:
        return None
    else:
        plain = (_LINE if whole_line else _PLAIN).match(text, at)
        if plain is None:
            return None
        start, end = plain.span()
        if not whole_line:
            other = _NEXT_PAIR.search(text, start, end)
            end = other.start() if other is not None else end
            end = start + len(text[start:end].rstrip(",.)]}"))
    if end <= start or _SAID.match(text, start, end):
        return None
    return start, end


def _closing(text: str, start: int, quote: str) -> int:
    """Return where the string ends that `quote`, with backslashes or without, has opened."""
    if len(quote) > 1:
        # One within the value has more backslashes.
        end = _ESCAPED[quote].search(text, start)
        return len(text) if end is None else end.start()
    found = _QUOTED[quote].match(text, start)
    return found.end() if found is not None else start
