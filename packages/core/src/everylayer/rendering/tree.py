"""Which exceptions a traceback shows, and where: as the standard library decides it."""

from __future__ import annotations

import traceback
from functools import cache
from types import TracebackType
from typing import Any, TypeVar

from .. import chain

T = TypeVar("T")

# What `traceback.TracebackException` shows of a group unless told otherwise.
MAX_WIDTH = 15
MAX_DEPTH = 10

CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"

# Each exception that is shown takes more bytes, so more exceptions than this cannot fit.
_LEAST_BYTES = 40
# Members beyond MAX_WIDTH are only counted, but what they link to first is not shown again
# elsewhere: so many of them are walked for that.
_HIDDEN = 1000


class Node:
    """One exception; `earlier` comes before it, followed by the sentence `joint`."""

    __slots__ = ("earlier", "exc", "joint", "members", "tb", "width")

    def __init__(self, exc: BaseException, tb: TracebackType | None) -> None:
        self.exc = exc
        self.tb = tb
        self.earlier: Node | None = None
        self.joint = ""
        # None for an exception that is no group; at most MAX_WIDTH + _HIDDEN of `width`.
        self.members: list[Node] | None = None
        self.width = 0


def plant(exc: BaseException, tb: TracebackType | None, max_bytes: int) -> Node:
    """Return the tree of `exc`; a `tb` of None means its own traceback.

    The walk ends when more exceptions were found than `max_bytes` has room for: a longer
    chain is without its oldest links, a larger tree without some of its deeper members.
    """
    root = Node(exc, _traceback(exc) if tb is None else tb)
    left = max_bytes // _LEAST_BYTES + _HIDDEN
    seen = {id(exc)}
    # Last in, first out: the order decides which of two places shows a shared exception.
    queue = [root]
    while queue and left > 0:
        node = queue.pop()
        earlier = _earlier(node, seen)
        members = _members(node.exc)
        if earlier is not None:
            node.earlier = Node(earlier, _traceback(earlier))
            seen.add(id(earlier))
            queue.append(node.earlier)
            left -= 1
        if members is not None:
            node.width = len(members)
            node.members = [Node(each, _traceback(each)) for each in members[: MAX_WIDTH + _HIDDEN]]
            seen.update(id(each.exc) for each in node.members)
            queue.extend(node.members)
            left -= len(node.members)
    return root


def _earlier(node: Node, seen: set[int]) -> BaseException | None:
    exc = node.exc
    cause = _read(exc, "__cause__", BaseException)
    context = _read(exc, "__context__", BaseException)
    if cause is context is None or _is_falsy(exc):
        return None
    if cause is not None and id(cause) not in seen:
        node.joint = CAUSE
        return cause
    suppressed = _read(exc, "__suppress_context__", int)
    if context is None or suppressed or id(context) in seen:
        return None
    node.joint = CONTEXT
    return context


def _members(exc: BaseException) -> tuple[BaseException, ...] | None:
    if not chain.is_group(exc):
        return None
    own = chain.members(exc)
    shown = _read(exc, "exceptions", tuple)
    if shown is own or shown is None:
        return own
    # A subclass that overrides `exceptions` is believed as far as it tells of exceptions.
    return tuple(each for each in shown if issubclass(type(each), BaseException))


def _traceback(exc: BaseException) -> TracebackType | None:
    return _read(exc, "__traceback__", TracebackType)


def _read(exc: BaseException, name: str, kind: type[T]) -> T | None:
    """Return an attribute that a subclass may have redefined, as the standard library reads it.

    Where that raises (there, it would reach the app) or yields nonsense: what Python itself set.
    """
    try:
        value: Any = getattr(exc, name)
    except BaseException:
        value = NotImplemented
    if value is None or issubclass(type(value), kind):
        return value  # type: ignore[no-any-return]
    slot: Any = getattr(BaseException, name, None)
    return slot.__get__(exc) if slot is not None else None


def _is_falsy(exc: BaseException) -> bool:
    """Tell whether the standard library drops the chain of `exc` because it tests as false."""
    try:
        return not bool(exc) and _falsy_are_bare()
    except BaseException:
        return False


class _Falsy(Exception):
    def __bool__(self) -> bool:
        return False


@cache
def _falsy_are_bare() -> bool:
    """Tell what this Python does: up to some 3.13 a false exception shows no chain."""
    probe = _Falsy()
    probe.__context__ = ValueError()
    return traceback.TracebackException(_Falsy, probe, None, compact=True).__context__ is None
