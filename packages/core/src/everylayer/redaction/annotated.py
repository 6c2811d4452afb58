"""`Annotated[str, Sensitive("card")]`: values of fields that are marked so.

Nothing happens when an object is made. When an error is recorded, the objects that its message
may have been made of are looked at: the arguments and attributes of the exceptions, and the
local variables of the frames that they came through, and what those hold, not deep.
"""

from __future__ import annotations

import re
import sys
import typing
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any

from .. import chain, notes
from ..memo import Memo
from ..stacktrace import is_own
from .values import texts

_MOST_OBJECTS = 2000
_MOST_FRAMES = 64
_MOST_ITEMS = 32
_DEPTH = 3
_ATOMS = frozenset({str, bytes, int, float, bool, complex, type(None), type})
_CONTAINERS = (list, tuple, set, frozenset)
_NAMED = re.compile(r"\bSensitive\b(?:\(\s*[\"'](?P<kind>[\w.-]{1,40}))?")

# Whether any field can be marked: local variables are looked at only then.
_in_use = False


class Sensitive:
    """Marks a field whose value is redacted wherever an error shows it.

    As in `number: Annotated[str, Sensitive("card")]`.

    Args:
        kind: what is shown in its place.
    """

    __slots__ = ("kind",)

    def __init__(self, kind: str = "sensitive") -> None:
        global _in_use
        _in_use = True
        self.kind: str = kind

    def __repr__(self) -> str:
        return f"Sensitive({self.kind!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sensitive) and other.kind == self.kind

    def __hash__(self) -> int:
        return hash((Sensitive, self.kind))


class Shape(typing.NamedTuple):
    """What is known of a class: whether it has fields, and which of them are marked."""

    has_fields: bool
    marked: tuple[tuple[str, str], ...]


_namespace: Any = type.__dict__["__dict__"].__get__
# Read past the class: it may define hostile properties of these names.
_args: Any = BaseException.__dict__["args"].__get__
_state: Any = BaseException.__dict__["__dict__"].__get__
_mro: Any = type.__dict__["__mro__"].__get__

_NOTHING: Mapping[str, str] = {}
_PLAIN = Shape(False, ())
_shapes: Memo[Shape] = Memo(4096)


def collect(
    exc: BaseException,
    tb: TracebackType | None,
    linked: Sequence[BaseException],
    *,
    always: bool = False,
) -> Mapping[str, str]:
    """Return the text of each marked field's value that may be shown -> its kind.

    Args:
        exc: the error.
        tb: its traceback.
        linked: its causes, contexts and members.
        always: look at local variables though nothing is known to be marked.
    """
    visit: _Visit | None = None
    # Classes with postponed annotations may be marked though nothing was ever made: their
    # instances are found here, and from then on in local variables too.
    for each in (exc, *linked):
        args = _args(each)
        state = notes.apart_from_ours(_state(each))
        if state or not _ATOMS.issuperset(map(type, args)):
            visit = visit or _Visit()
            visit.look_all(args, _DEPTH)
            visit.look_all(state, _DEPTH)
    if _in_use or always:
        visit = visit or _Visit()
        _of_frames(visit, tb)
        for each in linked:
            _of_frames(visit, chain.traceback_of(each))
    return visit.found if visit is not None else _NOTHING


def _of_frames(visit: _Visit, tb: TracebackType | None) -> None:
    frames = []
    while tb is not None:
        frames.append(tb.tb_frame)
        tb = tb.tb_next
    # The innermost first: they are likelier to have made the message.
    for frame in reversed(frames[-_MOST_FRAMES:]):
        code = frame.f_code
        # At the level of a module these would be its globals. Ours hold nothing of a message, and
        # what is read stays in the frame until 3.13: the error itself, in one that handles it.
        if (code.co_nlocals or code.co_cellvars or code.co_freevars) and not is_own(frame):
            visit.look_all(frame.f_locals.values(), _DEPTH)


class _Visit:
    __slots__ = ("_left", "_seen", "found")

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self._left = _MOST_OBJECTS
        self._seen: set[int] = set()

    def look_all(self, items: Iterable[Any], depth: int) -> None:
        for index, item in enumerate(items):
            if index >= 4 * _MOST_ITEMS:
                break
            self.look(item, depth)

    def look(self, item: Any, depth: int) -> None:
        cls = type(item)
        if cls in _ATOMS or depth <= 0 or self._left <= 0 or id(item) in self._seen:
            return
        self._left -= 1
        if cls in _CONTAINERS:
            self._seen.add(id(item))
            for _, each in zip(range(_MOST_ITEMS), list(item), strict=False):
                self.look(each, depth - 1)
        elif cls is dict:
            self._seen.add(id(item))
            for _, each in zip(range(_MOST_ITEMS), list(item.values()), strict=False):
                self.look(each, depth - 1)
        else:
            shape = shape_of(cls)
            if shape.has_fields:
                self._seen.add(id(item))
                self._fields(item, shape, depth)

    def _fields(self, item: Any, shape: Shape, depth: int) -> None:
        for name, kind in shape.marked:
            try:
                value = getattr(item, name)
            except Exception:
                # A field that cannot be read cannot have been shown.
                continue
            for each in value if type(value) in _CONTAINERS else (value,):
                self.found.update(dict.fromkeys(texts(each), kind))
        try:
            state = object.__getattribute__(item, "__dict__")
        except Exception:
            return
        if type(state) is dict:
            for _, each in zip(range(_MOST_ITEMS), list(state.values()), strict=False):
                self.look(each, depth - 1)


def shape_of(cls: type) -> Shape:
    """Return what is known of the fields of `cls`."""
    return _shapes.get(cls) or _shapes.keep(cls, _looked_at(cls))


def _looked_at(cls: type) -> Shape:
    # Asked of the classes' own dicts: a metaclass may do anything on attribute access.
    own = [_namespace(each) for each in _mro(cls)]
    signs = ("__dataclass_fields__", "__attrs_attrs__", "__pydantic_fields__", "model_fields")
    if not any(sign in names for names in own for sign in signs):
        return _PLAIN
    global _in_use
    marked = {name: kind for name, kind in _marked(cls) if kind}
    _in_use = _in_use or bool(marked)
    return Shape(True, tuple(marked.items()))


def _marked(cls: type) -> Iterable[tuple[str, str]]:
    for each in reversed(_mro(cls)):
        for name, annotation in _annotations(each).items():
            yield name, _kind(annotation, 4, each)
    # Some keep the marks and drop the annotation.
    fields: Any = getattr(cls, "__pydantic_fields__", None)
    if isinstance(fields, Mapping):
        for name, field in fields.items():
            for mark in getattr(field, "metadata", ()):
                if isinstance(mark, Sensitive):
                    yield name, mark.kind


def _annotations(cls: type) -> Mapping[str, Any]:
    if sys.version_info >= (3, 14):
        import annotationlib

        found: Mapping[str, Any] = annotationlib.get_annotations(
            cls, format=annotationlib.Format.FORWARDREF
        )
        return found
    own = vars(cls).get("__annotations__")
    return own if isinstance(own, dict) else {}


def _kind(annotation: Any, depth: int, cls: type) -> str:
    """Return the kind that `annotation` gives, empty for none."""
    if isinstance(annotation, Sensitive):
        return annotation.kind
    if annotation is Sensitive:
        return "sensitive"
    if depth <= 0:
        return ""
    if not isinstance(annotation, str):
        text = getattr(annotation, "__forward_arg__", None)
        if isinstance(text, str):
            annotation = text
    if isinstance(annotation, str):
        named = _NAMED.search(annotation)
        if named is not None:
            return named["kind"] or "sensitive"
        module = sys.modules.get(cls.__module__)
        target = getattr(module, annotation, None) if annotation.isidentifier() else None
        return _kind(target, depth - 1, cls) if target is not None else ""
    parts = (*getattr(annotation, "__metadata__", ()), *typing.get_args(annotation))
    return next(filter(None, (_kind(part, depth - 1, cls) for part in parts)), "")
