"""A whole tree of exceptions as plain values: what another process can make it of again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .. import chain, text
from ..failsafe import count_failure
from . import anatomy
from .pickles import Room, dumped
from .standins import is_stand_in
from .stubs import Row, rows

MAX_NODES = 64
MAX_BYTES = 1 << 20
_MAX_FRAMES = 200
_MAX_MESSAGE_BYTES = 16_384
_MAX_NOTES = 32
_MAX_BASES = 16
_NONE = -1


class Node(NamedTuple):
    """One exception; others of its tree are indexes into the nodes, -1 for none.

    Attributes:
        name: module and qualified name of its class.
        classes: those that it is of, as far as they can be imported by name, nearest first.
        own: the first of these is its very class.
        message: its `str()`.
        whole: itself as its class's own `__reduce__` has it; None where that is Python's own.
        args: what its builtin base is made with, None where that cannot be pickled.
        attributes: each by itself, so that one that cannot be pickled takes no other with it.
        notes: as `add_note` left them.
        cause: index of its `__cause__`.
        context: index of its `__context__`.
        hidden: its `__suppress_context__`.
        members: indexes, of a group.
        rows: its traceback.
        lost: what was left behind, in words.
    """

    name: tuple[str, str]
    classes: tuple[tuple[str, str], ...]
    own: bool
    message: str
    whole: bytes | None
    args: bytes | None
    attributes: tuple[tuple[str, bytes], ...]
    notes: tuple[str, ...]
    cause: int
    context: int
    hidden: bool
    members: tuple[int, ...] | None
    rows: tuple[Row, ...]
    lost: tuple[str, ...]


class Carried(NamedTuple):
    """A tree: the error itself is the first node.

    Attributes:
        nodes: the error and all it is linked to.
        sensitive: values that must not be shown, and their kinds.
    """

    nodes: tuple[Node, ...]
    sensitive: Mapping[str, str]


def carry(
    exc: BaseException, *, skip: int = 0, max_nodes: int = MAX_NODES, max_bytes: int = MAX_BYTES
) -> Carried:
    """Return `exc` and what it is linked to, bounded; whatever it is made of, this works.

    Args:
        exc: any exception.
        skip: outermost frames of its traceback to leave out.
        max_nodes: exceptions; the nearest ones are kept.
        max_bytes: of arguments and attributes, and of what else there is each.
    """
    room = Room(max_bytes)
    tree = _Tree(max_nodes)
    tree.index_of(exc)
    nodes: list[Node] = []
    for at, each in enumerate(tree.found):  # grows as it goes
        tb = chain.traceback_of(each)
        for _ in range(skip if at == 0 else 0):
            tb = tb.tb_next if tb is not None else None
        nodes.append(_node(each, rows(tb, _MAX_FRAMES), tree, room))
    return Carried(tuple(nodes), _sensitive(exc))


class _Tree:
    __slots__ = ("_index", "_most", "found")

    def __init__(self, most: int) -> None:
        self.found: list[BaseException] = []
        self._index: dict[int, int] = {}
        self._most = most

    def index_of(self, exc: BaseException | None) -> int | None:
        """Return the index of `exc`, which is taken in if there is room; None if there is not."""
        if exc is None:
            return _NONE
        at = self._index.get(id(exc))
        if at is None and len(self.found) < self._most:
            at = self._index[id(exc)] = len(self.found)
            self.found.append(exc)
        return at


def _node(exc: BaseException, tb: tuple[Row, ...], tree: _Tree, room: Room) -> Node:
    cls = type(exc)
    lost: list[str] = []
    cause, context, hidden = chain.linked(exc)
    links = {"cause": tree.index_of(cause), "context": tree.index_of(context)}
    lost += [f"its {name}" for name, at in links.items() if at is None]
    members, args, whole = None, None, None
    if chain.is_group(exc):
        found = [tree.index_of(member) for member in chain.members(exc)]
        members = tuple(at for at in found if at is not None)
        if len(members) < len(found):
            lost.append(f"{len(found) - len(members)} of its {len(found)} members")
        title = chain.title_of(exc)
        args = dumped(text.cut(title, _MAX_MESSAGE_BYTES), room)
    else:
        if anatomy.reduces_itself(cls) and not is_stand_in(cls):
            whole = dumped(exc, room)
        args = dumped(anatomy.args_of(exc), room)
    if args is None:
        lost.append("its arguments")
    attributes, left = _attributes(exc, room)
    lost += left
    name, classes = anatomy.place_of(cls), _classes(cls)
    stands_in = is_stand_in(cls)
    return Node(
        name=name,
        classes=classes,
        own=not stands_in and classes[:1] == (name,),
        message=text.cut(text.message_of(exc), _MAX_MESSAGE_BYTES),
        whole=whole,
        args=args,
        attributes=attributes,
        notes=_notes(exc),
        cause=_NONE if links["cause"] is None else links["cause"],
        context=_NONE if links["context"] is None else links["context"],
        hidden=hidden,
        members=members,
        rows=tb,
        # What a stand-in lacks is among its notes.
        lost=() if stands_in else tuple(lost),
    )


def _classes(cls: type) -> tuple[tuple[str, str], ...]:
    """Return the names under which the classes of an exception can be imported, nearest first."""
    found: list[tuple[str, str]] = []
    for base in anatomy.mro(cls):
        if issubclass(base, BaseException):
            place = anatomy.place_of(base)
            if anatomy.find(*place) is base:
                found.append(place)
    return tuple(found[:_MAX_BASES])


def _attributes(exc: BaseException, room: Room) -> tuple[tuple[tuple[str, bytes], ...], list[str]]:
    kept: list[tuple[str, bytes]] = []
    lost: list[str] = []
    for name, value in anatomy.attributes_of(exc).items():
        data = dumped(value, room)
        if data is None:
            lost.append(f"its attribute {text.shorten(name, 100)}")
        else:
            kept.append((name, data))
    return tuple(kept), lost


def _notes(exc: BaseException) -> tuple[str, ...]:
    notes: Any = anatomy.dictionary_of(exc).get("__notes__")
    if not isinstance(notes, (list, tuple)):
        return ()
    return tuple(
        text.cut(str.__str__(note), _MAX_MESSAGE_BYTES)
        for note in list(notes)[:_MAX_NOTES]
        if isinstance(note, str)
    )


def _sensitive(exc: BaseException) -> dict[str, str]:
    """Return what redaction knows here and could not know there: marks, and marked fields."""
    from opentelemetry import trace

    from ..redaction import annotated, values

    known = values.known(trace.get_current_span())
    linked = [link.exc for link in chain.links(exc, limit=16)]
    try:
        return {**known, **annotated.collect(exc, chain.traceback_of(exc), linked)}
    except Exception:
        # What is marked cannot be told from the rest: none of it is shown.
        count_failure("everylayer.redaction", with_stack=False)
        return {**known, **{text.message_of(each): "sensitive" for each in (exc, *linked)}}
