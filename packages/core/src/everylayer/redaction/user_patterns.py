"""Patterns of the user: refused at start-up when they are wrong or could take for ever."""

from __future__ import annotations

import re
from collections.abc import Iterator
from time import perf_counter

from ..settings import SettingsError
from .patterns import Finder

# A pattern that takes time in proportion to the text needs a tenth of it.
_SECONDS = 0.02
_SIZES = (8, 12, 14, 16, 18, 20, 22, 24, 28, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
_REPEATED = re.compile(r"[*+]|\{[0-9]*,[0-9]*\}|\{[0-9]{2,}\}|\{[2-9]\}")
_PIECES = re.compile(r"\\.|\[(?:\\.|[^\]\\])(?:\\.|[^\]\\])*\]|\(\?[^)]|[()]|[\s\S]")
_USUAL = ("a", "A", "0", " ", "-", "_", ".", "@", "=", ":", "/", "ab", "a1", "a-", "0-", "0 ")


def compiled(name: str, pattern: str) -> Finder:
    """Return what finds `pattern`; its group `value`, if it has one, is what is masked.

    Raises:
        SettingsError: it is no regular expression, matches nothing, repeats what already
            repeats, or takes too long for one of many hostile texts.
    """
    try:
        found = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise _refused(name, f"is no regular expression: {error}") from None
    if found.match("") is not None:
        raise _refused(name, "matches the empty text")
    if _repeats_repetition(pattern):
        raise _refused(name, "repeats a group that repeats something itself, which may backtrack")
    if re.search(r"\\[1-9]|\(\?P=", pattern):
        raise _refused(name, "refers back to a group, which may backtrack")
    for text in _hostile(pattern):
        if _is_slow(found, text):
            raise _refused(name, "takes too long for a text made to be hard: it backtracks")
    group: str | int = "value" if "value" in found.groupindex else 0

    def find(text: str) -> Iterator[tuple[int, int]]:
        for each in found.finditer(text):
            if each.end(group) > each.start(group):
                yield each.span(group)

    return find


def _refused(name: str, why: str) -> SettingsError:
    return SettingsError(f"everylayer redaction pattern {name!r} {why}.")


def _repeats_repetition(pattern: str) -> bool:
    """Tell whether a group with a repetition in it is repeated itself."""
    groups: list[bool] = []
    pieces = list(_PIECES.finditer(pattern))
    for piece in pieces:
        if piece[0] in ("(", "(?") or piece[0].startswith("(?"):
            groups.append(False)
        elif piece[0] == ")" and groups:
            inner = groups.pop()
            outer = _REPEATED.match(pattern, piece.end()) is not None
            if inner and outer:
                return True
            if groups:
                groups[-1] = groups[-1] or inner or outer
        elif groups and piece[0] in "*+{" and _REPEATED.match(pattern, piece.start()):
            groups[-1] = True
    return False


def _hostile(pattern: str) -> Iterator[tuple[str, str]]:
    """Yield what to begin with and what to repeat, made of the pattern's own characters."""
    literal = re.sub(r"\\[A-Za-z]|\[[^\]]*\]|[\\^$.|?*+(){}]", "\0", pattern)
    runs = [run for run in literal.split("\0") if run][:4]
    ranges = re.findall(r"([0-9A-Za-z])-[0-9A-Za-z]", pattern)
    own = dict.fromkeys([*runs, *(char for run in runs for char in run), *ranges, *_USUAL])
    for start in dict.fromkeys(["", *runs, "".join(runs[:1])]):
        for pump in list(own)[:40]:
            yield start, pump


def _is_slow(pattern: re.Pattern[str], text: tuple[str, str]) -> bool:
    start, pump = text
    for size in _SIZES:
        probe = f"{start}{pump * (size // len(pump) + 1)}\x00"
        taken = _time(pattern, probe)
        if taken > _SECONDS and min(taken, _time(pattern, probe), _time(pattern, probe)) > _SECONDS:
            return True
    return False


def _time(pattern: re.Pattern[str], text: str) -> float:
    began = perf_counter()
    for _ in pattern.finditer(text):
        pass
    return perf_counter() - began
