"""Failing responses of other services, by the response object that a client was given."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import chain
from ..failsafe import contained
from .error_context import MAX_TEXT, ErrorContext, cleaned, parse

if TYPE_CHECKING:
    from ..redaction.redactor import Redactor

_MAX_LIVE = 1024
_MAX_ERRORS = 16
_MAX_FRAMES = 64
_MAX_LOCALS = 64

# Read through the base class: a subclass may define hostile properties of this name.
_state: Any = BaseException.__dict__["__dict__"].__get__


class Received(NamedTuple):
    """What a response says of the error behind it.

    Attributes:
        context: who answered, and where the error began.
        attempts: how often the request was tried, as far as anybody has counted; else 0.
    """

    context: ErrorContext
    attempts: int

    def redacted(self, redactor: Redactor | None) -> Received:
        """Return the same without secrets."""
        if redactor is None:
            return self
        return Received(
            cleaned(self.context, lambda said: redactor.bounded(said, MAX_TEXT)[0], True),
            self.attempts,
        )


# By the address of a response that lives: none is looked for once those that failed are gone.
_live: dict[int, tuple[weakref.ref[Any], Received]] = {}


@contained
def remember(response: object, value: str | bytes | None, attempts: int = 0) -> None:
    """Keep what the header's `value` says for as long as `response` lives."""
    context = parse(value) if value else None
    if context is None or len(_live) >= _MAX_LIVE:
        return
    address = id(response)
    # Called before the address can be another object's.
    guard = weakref.ref(response, lambda gone: _live.pop(address, None))
    _live[address] = (guard, Received(context, attempts or context.hops[0].attempt))


def _said_by(target: object) -> Received | None:
    entry = _live.get(id(target))
    return entry[1] if entry is not None and entry[0]() is target else None


@contained
def behind(exc: BaseException, tb: TracebackType | None) -> Received | None:
    """Return what a response said that `exc` was raised for.

    It is the one that the exception, or one that it was raised from or while handling, holds as
    its `response`, as those of httpx and requests do; else one that a function was at work on
    while it was raised.
    """
    if not _live:
        return None
    errors = [exc, *chain.ancestors(exc, _MAX_ERRORS), *chain.members(exc)[:_MAX_ERRORS]]
    for error in errors:
        found = _said_by(_state(error).get("response"))
        if found is not None:
            return found
    for error in errors:
        for value in _locals(tb if error is exc else chain.traceback_of(error)):
            found = _said_by(value)
            if found is not None:
                return found
    return None


def _locals(tb: TracebackType | None) -> Iterator[object]:
    """Yield the values of the functions that a traceback passes, innermost first, bounded."""
    frames: list[FrameType] = []
    while tb is not None and len(frames) < 4 * _MAX_FRAMES:
        frames.append(tb.tb_frame)
        tb = tb.tb_next
    for frame in reversed(frames[-_MAX_FRAMES:]):
        yield from list(frame.f_locals.values())[:_MAX_LOCALS]
