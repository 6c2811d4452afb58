"""The exceptions that `carried` took apart, made again."""

from __future__ import annotations

from typing import Any

from .. import chain
from . import anatomy
from .pickles import Unloadable, loaded
from .standins import is_stand_in, stand_in
from .stubs import traceback_from
from .tree import Carried, Node

_NOTE = "[everylayer:"


def restore(carried: Carried) -> BaseException:
    """Return the error with all it was linked to; whatever arrived, this works."""
    nodes = carried.nodes
    made: list[BaseException | None] = [
        _single(node) if node.members is None else None for node in nodes
    ]
    while None in made:
        # A group is made of its members.
        waiting = [at for at, exc in enumerate(made) if exc is None]
        ready = [at for at in waiting if all(made[m] for m in nodes[at].members or ())]
        for at in ready or waiting[:1]:
            made[at] = _group(nodes[at], [m for i in nodes[at].members or () if (m := made[i])])
    exceptions = [exc for exc in made if exc is not None]
    for exc, node in zip(exceptions, nodes, strict=True):
        lost = [*node.lost, *_dress(exc, node)]
        notes = list(node.notes)
        if lost:
            notes.append(f"{_NOTE} {_listed(lost)} did not come along]")
        if notes:
            anatomy.dictionary_of(exc)["__notes__"] = notes
        cause, context = (exceptions[at] if at >= 0 else None for at in (node.cause, node.context))
        chain.link(exc, cause, context, node.hidden, traceback_from(node.rows))
    return exceptions[0]


def _single(node: Node) -> BaseException:
    if node.whole is not None:
        # As its class wants it, if that gives what was asked for.
        try:
            found = loaded(node.whole)
        except Unloadable:
            found = None
        if issubclass(type(found), BaseException) and anatomy.place_of(type(found)) == node.name:
            made: BaseException = found
            return made
    args: Any = None
    if node.args is not None:
        try:
            args = loaded(node.args)
        except Unloadable:
            args = None
    classes = _found(node)
    if node.own and type(args) is tuple and len(classes) == len(node.classes):
        try:
            return anatomy.make(classes[0], args)
        except BaseException:
            # A builtin base with a taste of its own.
            pass
    kept = args if type(args) is tuple else (node.message,)
    return stand_in(node.name, classes, node.message, kept)


def _group(node: Node, members: list[BaseException]) -> BaseException:
    try:
        title = loaded(node.args) if node.args is not None else node.message
    except Unloadable:
        title = node.message
    if not members:
        members = [Exception("[everylayer: no member came along]")]
    classes = _found(node)
    if node.own and len(classes) == len(node.classes):
        try:
            return anatomy.make(classes[0], (title, members))
        except BaseException:
            pass
    return stand_in(node.name, classes, node.message, (title, members))


def _found(node: Node) -> list[type]:
    """Return the classes of exceptions that there are here."""
    classes = [anatomy.find(*place) for place in node.classes]
    return [c for c in classes if isinstance(c, type) and issubclass(c, BaseException)]


def _dress(exc: BaseException, node: Node) -> list[str]:
    """Give `exc` its attributes, and return what of that is not possible here."""
    lost: list[str] = []
    for name, data in node.attributes:
        try:
            anatomy.set_attribute(exc, name, loaded(data))
        except BaseException:
            lost.append(f"its attribute {name}")
    # One that comes from further away has said so already.
    if is_stand_in(type(exc)) and not any(note.startswith(_NOTE) for note in node.notes):
        lost.append("its class")
    return lost


def _listed(names: list[str]) -> str:
    shown = names[:8]
    if len(names) > len(shown):
        shown.append(f"{len(names) - len(shown)} more")
    return ", ".join(shown)
