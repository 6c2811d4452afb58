"""The last lines of one exception: its type and message, notes, the place of a SyntaxError."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from itertools import islice
from types import TracebackType
from typing import Any

from .. import text
from .writer import clip

# On 3.10 the backport of exception groups, which anyio brings, puts its own code in the place
# of `TracebackException`'s: notes and suggestions appear, other lines change.
_IS_PATCHABLE = sys.version_info < (3, 11)
# The standard library adds to the messages of these (suggestions, source, hints) and adds
# more with each version: it renders them itself. Of the second kind it asks for `name` first.
_ALWAYS = (SyntaxError, ImportError)
_NAMED = (NameError, AttributeError)


def final_lines(exc: BaseException, tb: TracebackType | None, limit: int) -> tuple[str, int]:
    """Return the lines and how many characters were left out of strings beyond 2 * `limit`."""
    line = _plain(exc)
    if line is not None:
        head, message = line
        if not message:
            return f"{head}\n", 0
        kept, dropped = clip(message, limit)
        return f"{head}: {kept}\n", dropped
    try:
        return _by_library(exc, tb, limit)
    except BaseException:
        # Where the standard library itself raises: a hostile class, attributes of a wrong type.
        kept, dropped = clip(text.message_of(exc), limit)
        return f"{text.type_name(exc)}: {kept}\n", dropped


def _plain(exc: BaseException) -> tuple[str, str] | None:
    """Return type and message of an exception that has nothing else to show, else None."""
    cls = type(exc)
    if _IS_PATCHABLE or issubclass(cls, _ALWAYS):
        return None
    try:
        if issubclass(cls, _NAMED) and getattr(exc, "name", None) is not None:
            return None
        if getattr(exc, "__notes__", None) is not None:
            return None
        message = str(exc)
        module = cls.__module__
        name = cls.__qualname__
    except BaseException:
        return None
    if type(message) is not str or type(module) is not str or type(name) is not str:
        return None
    if module == "builtins" or module == "__main__":
        return name, message
    return f"{module}.{name}", message


def _by_library(exc: BaseException, tb: TracebackType | None, limit: int) -> tuple[str, int]:
    stand_in: Any = _StandIn(exc, limit)
    shown = traceback.TracebackException(
        type(exc), stand_in, tb, limit=0, lookup_lines=False, compact=True
    )
    lines = "".join(shown.format_exception_only())
    kept, dropped = clip(lines, 4 * limit)
    return kept, dropped + stand_in.dropped


class _StandIn:
    """What `TracebackException` reads of an exception: bounded, and without its chain.

    The chain is rendered apart; given the exception itself, the standard library would
    convert the whole chain again for each of its links.
    """

    __slots__ = ("_exc", "_limit", "dropped")

    __cause__ = None
    __context__ = None
    __suppress_context__ = True
    exceptions = ()

    def __init__(self, exc: BaseException, limit: int) -> None:
        self._exc = exc
        self._limit = limit
        self.dropped = 0

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        # `isinstance` must hold: it decides what a suggestion is looked for in.
        return type(self._exc)

    def __str__(self) -> str:
        if issubclass(type(self._exc), SyntaxError):
            # Asked for and not shown; it repeats file and message in full.
            return ""
        message: str = self._bounded(str(self._exc))
        return message

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._exc, name)
        if name == "end_offset":
            return self._caret_end(value)
        if name == "__notes__":
            return self._notes(value)
        return self._bounded(value)

    def _bounded(self, value: Any) -> Any:
        if type(value) is not str:
            return value
        kept, dropped = clip(value, self._limit)
        self.dropped += dropped
        return kept

    def _caret_end(self, end: Any) -> Any:
        # A SyntaxError made by hand can ask for gigabytes of carets.
        start = getattr(self._exc, "offset", None)
        if type(start) is int and type(end) is int:
            return min(end, start + 2 * self._limit)
        return end

    def _notes(self, notes: Any) -> Any:
        if not isinstance(notes, Sequence) or isinstance(notes, str | bytes):
            return self._bounded(notes)
        limit = self._limit
        if type(notes) in (list, tuple) and len(notes) > 2 * limit:
            # Each takes a byte at least.
            self.dropped += len(notes) - 2 * limit
            notes = [*notes[:limit], *notes[-limit:]]
        return [self._bounded(note) for note in islice(notes, 2 * limit)]
