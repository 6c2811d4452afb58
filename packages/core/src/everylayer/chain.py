"""What an exception is linked to: causes, contexts, group members; bounded, cycle-safe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Any, NamedTuple

MAX_LINKS = 64
_MAX_MEMBERS = 1000

# Read through the base class: a subclass may define hostile properties of these names.
_cause: Any = BaseException.__dict__["__cause__"].__get__
_context: Any = BaseException.__dict__["__context__"].__get__
_suppress: Any = BaseException.__dict__["__suppress_context__"].__get__
_set_cause: Any = BaseException.__dict__["__cause__"].__set__
_set_context: Any = BaseException.__dict__["__context__"].__set__
_set_suppress: Any = BaseException.__dict__["__suppress_context__"].__set__
_traceback: Any = BaseException.__dict__["__traceback__"].__get__
_set_traceback: Any = BaseException.__dict__["__traceback__"].__set__

if sys.version_info >= (3, 11):
    in_flight = sys.exception
    _members: Any = BaseExceptionGroup.__dict__["exceptions"].__get__
    _title: Any = BaseExceptionGroup.__dict__["message"].__get__

    def _groups() -> Any:
        return BaseExceptionGroup

else:

    def in_flight() -> BaseException | None:
        """Return the exception that is being handled."""
        return sys.exc_info()[1]

    def _groups() -> Any:
        """Return the class of the backport's groups, once somebody has imported it."""
        return getattr(sys.modules.get("exceptiongroup"), "BaseExceptionGroup", ())

    def _members(exc: BaseException) -> Any:
        return _groups().__dict__["exceptions"].__get__(exc)

    def _title(exc: BaseException) -> Any:
        return _groups().__dict__["message"].__get__(exc)


class Link(NamedTuple):
    """One step of a chain: `relation` is `cause`, `context` or `member`."""

    relation: str
    exc: BaseException


def traceback_of(exc: BaseException) -> Any:
    """Return the traceback of `exc`, whatever its class does to attribute access."""
    return _traceback(exc)


def linked(exc: BaseException) -> tuple[BaseException | None, BaseException | None, bool]:
    """Return cause, context, and whether the context is hidden."""
    return _cause(exc), _context(exc), bool(_suppress(exc))


def link(
    exc: BaseException,
    cause: BaseException | None,
    context: BaseException | None,
    hidden: bool,
    tb: TracebackType | None,
) -> None:
    """Give `exc` what `linked` told of another one, and a traceback."""
    _set_cause(exc, cause)
    _set_context(exc, context)
    _set_suppress(exc, hidden)
    _set_traceback(exc, tb)


def drop_frame(exc: BaseException) -> None:
    """Take the calling frame out of the traceback of the exception that it has just caught.

    Call it right before a bare `raise`. Python 3.10 restores the traceback there; the frame stays.
    """
    tb = _traceback(exc)
    if tb is not None:
        _set_traceback(exc, tb.tb_next)


def raised_in(exc: BaseException, package: str) -> bool:
    """Tell whether code of `package`, or of a part of it, raised `exc`."""
    tb = _traceback(exc)
    while tb is not None and tb.tb_next is not None:
        tb = tb.tb_next
    module = "" if tb is None else str(tb.tb_frame.f_globals.get("__name__", ""))
    return f"{module}.".startswith(f"{package}.")


def is_group(exc: BaseException) -> bool:
    """Tell whether `exc` is an ExceptionGroup; before Python 3.11, one of `exceptiongroup`'s.

    By its type alone: `isinstance` asks the object for its `__class__`, which may be hostile.
    """
    return issubclass(type(exc), _groups())


def members(exc: BaseException) -> tuple[BaseException, ...]:
    """Return the direct members of a group, nothing for a plain exception."""
    found: tuple[BaseException, ...] = _members(exc) if is_group(exc) else ()
    return found


def title_of(group: BaseException) -> str:
    """Return the message of a group, without the count of its members."""
    title: str = _title(group)
    return title


def is_remade(group: BaseException, earlier: BaseException) -> bool:
    """Tell whether `group` is the group `earlier` once more, all of it or what is left of it.

    `except*`, `split` and trio's nurseries raise a new object with the same members. One that
    holds `earlier`, or names it as its cause, is another error.
    """
    if not str.__eq__(_title(group), _title(earlier)) or _cause(group) is earlier:
        return False
    groups, ends = _inside(group)
    return id(earlier) not in groups and ends <= _inside(earlier)[1]


def _inside(group: BaseException) -> tuple[set[int], set[int]]:
    """Return the ids of the groups within `group`, and of the members that are none; bounded."""
    groups: set[int] = set()
    ends: set[int] = set()
    queue, left = [group], _MAX_MEMBERS
    for current in queue:
        for member in _members(current)[:left]:
            left -= 1
            if not is_group(member):
                ends.add(id(member))
            elif id(member) not in groups:
                groups.add(id(member))
                queue.append(member)
    return groups, ends


def links(exc: BaseException, limit: int = MAX_LINKS) -> Iterator[Link]:
    """Yield what `exc` is linked to, nearest first, at most `limit` steps, each object once.

    A cause hides the context and `raise ... from None` hides it too, as in a traceback.
    """
    seen = {id(exc)}
    queue = [exc]
    while queue and limit > 0:
        following: list[BaseException] = []
        for current in queue:
            for link in _direct(current):
                if limit <= 0:
                    return
                if id(link.exc) not in seen:
                    seen.add(id(link.exc))
                    limit -= 1
                    yield link
                    following.append(link.exc)
        queue = following


def with_causes(exc: BaseException | None, limit: int = MAX_LINKS) -> Iterator[BaseException]:
    """Yield `exc` and each exception that it was raised from, at most `limit`; nothing for None."""
    while exc is not None and limit > 0:
        yield exc
        exc = _cause(exc)
        limit -= 1


def ancestors(exc: BaseException, limit: int = MAX_LINKS) -> Iterator[BaseException]:
    """Yield every exception that was in flight when `exc` was raised, hidden ones too."""
    seen = {id(exc)}
    queue = [exc]
    while queue:
        current = queue.pop()
        for earlier in (_cause(current), _context(current)):
            if earlier is not None and id(earlier) not in seen:
                if limit <= 0:
                    return
                seen.add(id(earlier))
                limit -= 1
                yield earlier
                queue.append(earlier)


def _direct(exc: BaseException) -> Iterator[Link]:
    cause = _cause(exc)
    if cause is not None:
        yield Link("cause", cause)
    elif not _suppress(exc):
        context = _context(exc)
        if context is not None:
            yield Link("context", context)
    for member in members(exc):
        yield Link("member", member)
