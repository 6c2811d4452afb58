"""The source lines of a Sentry event's frames, without the secrets that are written in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...failsafe import count_failure
from ...redaction.guard import Redacting
from ...redaction.redactor import FAILED, MOST
from .walk import AnnotatedValue

_MOST_CHARS = 4_000_000
# Characters of source that count as one more entry of what is kept.
_UNIT = 1024
_BLANKS = " \t\"'`"
_LISTS = ("pre_context", "post_context")
KEYS = frozenset({"context_line", *_LISTS})


class Source:
    """The way of one event's source lines through the redactor; bounded."""

    __slots__ = ("_chars", "_redacting")

    def __init__(self, redacting: Redacting) -> None:
        self._redacting = redacting
        self._chars = _MOST_CHARS

    def of(self, frame: Mapping[str, Any]) -> dict[str, Any]:
        """Return those of the `KEYS` whose lines hold a secret, without it."""
        before, after = (_unwrapped(frame.get(key)) for key in _LISTS)
        line = frame.get("context_line")
        given = [*before, *([line] if line is not None else []), *after]
        if not given:
            return {}
        try:
            texts = [_uncut(each) for each in given]
            found = self._lines(texts)
        except Exception:
            count_failure("everylayer.redaction", with_stack=False)
            found, texts = [FAILED] * len(given), [""] * len(given)
        if found == texts and not any(isinstance(each, AnnotatedValue) for each in given):
            return {}
        kept = {
            "pre_context": found[: len(before)],
            "post_context": found[len(given) - len(after) :],
        }
        changes: dict[str, Any] = {key: kept[key] for key in _LISTS if kept[key]}
        if line is not None:
            changes["context_line"] = found[len(before)]
        return changes

    def _lines(self, lines: list[str]) -> list[str]:
        text = "\n".join(lines)
        self._chars -= len(text)
        if self._chars < 0:
            return [FAILED] * len(lines)
        redactor = self._redacting.redactor
        if len(text) > MOST:
            # No source as people write it: its middle may go.
            return [self._redacting.bounded(line, MOST)[0] for line in lines]
        found = redactor.sources.get(text)
        if found is None:
            found = tuple(_without(lines, redactor.find(text, code=True)))
            redactor.sources.put(text, found, 1 + len(text) // _UNIT)
        if self._redacting.exact:
            return [self._redacting.lines([line])[0].strip("\n") for line in found]
        return list(found)


def _without(lines: list[str], findings: Sequence[Any]) -> list[str]:
    """Return as many lines, each without what was found in it; findings may span several."""
    if not findings:
        return lines
    kept = []
    start = 0
    for line in lines:
        end = start + len(line)
        parts, at = [], start
        for each in findings:
            if each.end <= start or each.start >= end:
                continue
            parts.append(line[at - start : max(each.start, start) - start])
            parts.append(each.replacement if each.start >= start else "")
            at = min(each.end, end)
        kept.append("".join(parts) + line[at - start :])
        start = end + 1
    return kept


def _unwrapped(lines: Any) -> list[Any]:
    if isinstance(lines, AnnotatedValue):
        lines = lines.value
    return list(lines) if isinstance(lines, (list, tuple)) else []


def _uncut(line: Any) -> str:
    """Return a line; where Sentry has cut it, without the word that the cut goes through."""
    if not isinstance(line, AnnotatedValue):
        return str.__str__(line) if isinstance(line, str) else ""
    text = str(line.value or "").removesuffix("...")
    last = max(text.rfind(blank) for blank in _BLANKS)
    return f"{text[: last + 1]}..."
