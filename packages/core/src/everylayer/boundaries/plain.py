"""A carried tree without anything pickled: for stores that others can write to.

What comes back names the classes, says the messages and shows the tracebacks; of each class there
is a stand-in. Nothing is imported for it, and nothing of it is run.
"""

from __future__ import annotations

import sys
from typing import Any

from .. import chain, text
from . import anatomy
from .standins import stand_in
from .stubs import Row, traceback_from
from .tree import Carried, Node

_MOST = 16
_MAX_ROWS = 64
_MAX_TEXT = 4096


class PlainError(ValueError):
    """This is no tree that `to_plain` has written."""


def to_plain(carried: Carried) -> list[dict[str, Any]]:
    """Return the nearest exceptions of a tree as values for JSON."""
    return [_plain(node) for node in carried.nodes[:_MOST]]


def _plain(node: Node) -> dict[str, Any]:
    head = _MAX_ROWS // 4
    rows = node.rows
    if len(rows) > _MAX_ROWS:
        rows = rows[:head] + rows[head - _MAX_ROWS :]
    return {
        "name": list(node.name),
        "classes": [list(place) for place in node.classes],
        "message": text.cut(node.message, _MAX_TEXT),
        "notes": [text.cut(note, _MAX_TEXT) for note in node.notes],
        "links": [at if at < _MOST else -1 for at in (node.cause, node.context)],
        "hidden": node.hidden,
        "members": None if node.members is None else [at for at in node.members if at < _MOST],
        "rows": [list(row) for row in rows],
    }


def relink(exc: BaseException, found: Any) -> None:
    """Give `exc`, the first of the tree, the causes, contexts, notes and traceback that it had.

    Raises:
        PlainError: what was found is no such tree.
    """
    if not isinstance(found, list) or not 0 < len(found) <= _MOST:
        raise PlainError(f"a list of at most {_MOST}")
    made: list[BaseException] = [exc]
    for each in found[1:]:
        made.append(_made(each))
    for each, node in zip(made, found, strict=True):
        links = [_at(made, at) for at in _list(node, "links", 2)]
        links += [None] * (2 - len(links))
        rows = tuple(_row(row) for row in _list(node, "rows", _MAX_ROWS))
        notes = [str(note)[:_MAX_TEXT] for note in _list(node, "notes", 32)]
        members = [_at(made, at) for at in _list(node, "members", _MOST)]
        if members and not chain.is_group(each):
            names = ", ".join(text.type_name(member) for member in members if member is not None)
            notes.append(f"[everylayer: its members were {names}]")
        if notes:
            anatomy.dictionary_of(each)["__notes__"] = notes
        hidden = node.get("hidden") is True
        chain.link(each, links[0], links[1], hidden, traceback_from(rows))


def _made(found: Any) -> BaseException:
    if not isinstance(found, dict):
        raise PlainError("a list of objects")
    message = found.get("message")
    if not isinstance(message, str):
        raise PlainError("a message that is a string")
    message = message[:_MAX_TEXT]
    module, qualname = _place(found.get("name"))
    bases = [cls for place in _list(found, "classes", 16) if (cls := _known(*_place(place)))]
    return stand_in((module, qualname), bases or [Exception], message, (message,))


def _known(module: str, qualname: str) -> type | None:
    # Not imported: what others write must not choose what runs here.
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
    return found if isinstance(found, type) and issubclass(found, BaseException) else None


def _place(found: Any) -> tuple[str, str]:
    if not (isinstance(found, list) and len(found) == 2 and all(isinstance(p, str) for p in found)):
        raise PlainError("a module and a name")
    return found[0][:_MAX_TEXT], found[1][:_MAX_TEXT]


def _list(found: Any, name: str, most: int) -> list[Any]:
    value = found.get(name) if isinstance(found, dict) else None
    return value[:most] if isinstance(value, list) else []


def _at(made: list[BaseException], at: Any) -> BaseException | None:
    return made[at] if isinstance(at, int) and 0 <= at < len(made) else None


def _row(found: Any) -> Row:
    if not (isinstance(found, list) and len(found) == 4 and isinstance(found[2], int)):
        raise PlainError("a row of a traceback")
    file, function, line, module = found
    if not 0 <= line < 2**31:
        raise PlainError("a line")
    return Row(str(file)[:_MAX_TEXT], str(function)[:_MAX_TEXT], line, str(module)[:_MAX_TEXT])
