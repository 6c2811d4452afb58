"""The last lines of one exception: its type and message, notes, the place of a SyntaxError."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable, Sequence
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .. import text
from .writer import clip

if TYPE_CHECKING:
    from ..redaction.guard import Redacting

# On 3.10 the backport of exception groups, which anyio brings, puts its own code in the place
# of `TracebackException`'s: notes and suggestions appear, other lines change.
_IS_PATCHABLE = sys.version_info < (3, 11)
# The standard library adds to the messages of these (suggestions, source, hints) and adds
# more with each version: it renders them itself. Of the second kind it asks for `name` first.
_ALWAYS = (SyntaxError, ImportError)
_NAMED = (NameError, AttributeError)


def final_lines(
    exc: BaseException,
    tb: TracebackType | None,
    limit: int,
    redacting: Redacting | None = None,
) -> tuple[str, int]:
    """Return the lines and how many characters were left out of strings beyond 2 * `limit`."""
    line = _plain(exc)
    if line is not None:
        head, message = line
        if not message:
            return f"{head}\n", 0
        kept, dropped = _shown(message, limit, redacting)
        return f"{head}: {kept}\n", dropped
    try:
        return _by_library(exc, tb, limit, redacting)
    except BaseException:
        # Where the standard library itself raises: a hostile class, attributes of a wrong type.
        kept, dropped = _shown(text.message_of(exc), limit, redacting)
        return f"{text.type_name(exc)}: {kept}\n", dropped


def _shown(value: str, limit: int, redacting: Redacting | None) -> tuple[str, int]:
    """Return `value` without secrets, then without its middle, and how many characters went."""
    if redacting is None:
        return clip(value, limit)
    value, left_out = redacting.bounded(value, limit)
    kept, dropped = clip(value, limit)
    return kept, dropped + left_out


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


def _by_library(
    exc: BaseException, tb: TracebackType | None, limit: int, redacting: Redacting | None
) -> tuple[str, int]:
    stand_in: Any = _StandIn(exc, limit, redacting)
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

    __slots__ = ("_exc", "_limit", "_redacting", "dropped")

    __cause__ = None
    __context__ = None
    __suppress_context__ = True
    exceptions = ()

    def __init__(self, exc: BaseException, limit: int, redacting: Redacting | None) -> None:
        self._exc = exc
        self._redacting = redacting
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
            if self._redacting is None or not isinstance(value, str):
                return value
            value = str.__str__(value)
        kept, dropped = _shown(value, self._limit, self._redacting)
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
            if self._redacting is None or notes is None or isinstance(notes, str):
                return self._bounded(notes)
            return _Shown(self._bounded(repr(notes)))
        limit = self._limit
        if type(notes) in (list, tuple):
            # What is between cannot be shown, and to look for secrets there takes its time.
            head = _fitting(notes, limit)
            tail = _fitting(reversed(notes[head:]), limit)
            self.dropped += sum(map(_size, notes[head : len(notes) - tail]))
            notes = [*notes[:head], *notes[len(notes) - tail :]]
        return [self._note(note) for note in islice(notes, 2 * limit)]

    def _note(self, note: Any) -> Any:
        if self._redacting is not None and not isinstance(note, str):
            try:
                note = str(note)
            except BaseException:
                note = "<note str() failed>"
        return self._bounded(note)


def _size(note: Any) -> int:
    """Return how many characters a note takes, a line's end included; at least, if unknown."""
    return len(note) + 1 if type(note) is str else 1


def _fitting(notes: Iterable[Any], room: int) -> int:
    """Return how many of `notes` there is room for, and one more, to be cut."""
    count = 0
    for note in notes:
        if room <= 0:
            break
        room -= _size(note)
        count += 1
    return count


class _Shown:
    """Has the `repr` that it is given."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text
