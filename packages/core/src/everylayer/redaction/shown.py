"""What a value is shown as: bounded, and without running any code of its class.

Values of built-in types are read through the types themselves, subclasses as what they derive
from; of data classes the instance's own dict is read. Anything else is shown as its type.
"""

from __future__ import annotations

import datetime
import sys
from collections import deque
from collections.abc import Iterable
from itertools import islice
from types import FunctionType, MemberDescriptorType, ModuleType
from typing import TYPE_CHECKING, Any

from ..text import class_name
from . import annotated
from .redactor import MARGIN, MOST

if TYPE_CHECKING:
    from .guard import Redacting

_DEPTH = 3
_ITEMS = 8
# Characters: of one string, and of one value with all that it holds.
_STRING = 160
_MOST = 600
_DIGITS = 256
# What is looked at of a long string, so that what is cut is seen whole.
_WINDOW = _STRING + MARGIN
_NAME = 100
_LEFT_OUT = "..."

# Noise beside what a function works on.
UNSHOWN = (ModuleType, FunctionType, type)

_SEQUENCES: tuple[tuple[type, str, str], ...] = (
    (list, "[", "]"),
    (tuple, "(", ")"),
    (set, "{", "}"),
    (frozenset, "frozenset({", "})"),
    (deque, "deque([", "])"),
)
_TIMES = (datetime.date, datetime.timedelta, datetime.timezone)
_ZONED = (datetime.datetime, datetime.time)
# Type by the module that has it; what is not loaded, no variable holds.
_MORE = (("decimal", "Decimal"), ("uuid", "UUID"), ("fractions", "Fraction"))
_args: Any = BaseException.__dict__["args"].__get__
_mro: Any = type.__dict__["__mro__"].__get__
_namespace: Any = type.__dict__["__dict__"].__get__


class Showing:
    """Shows the variables of one error."""

    __slots__ = ("_left", "_plain", "_redacting", "_to_look_at", "_within")

    def __init__(self, redacting: Redacting | None) -> None:
        self._redacting = redacting
        self._left = 0
        # Names that have turned out not to be sensitive.
        self._plain: set[str] = set()
        self._to_look_at = MOST
        self._within: set[int] = set()

    def variable(self, value: Any) -> str:
        """Return a text for the value of one more variable, its strings without secrets."""
        self._left = _MOST
        self._within.clear()
        return self.show(value)

    def show(self, value: Any, depth: int = _DEPTH) -> str:
        """Return a text for `value`, which the variable holds."""
        if self._left <= 0:
            return _LEFT_OUT
        try:
            return self._shown(value, type(value), depth)
        except Exception:
            # Another thread changes it just now.
            return f"<{class_name(type(value))}>"

    def _shown(self, value: Any, cls: type, depth: int) -> str:
        if value is None or cls is bool or value is Ellipsis:
            return self._counted(repr(value))
        if issubclass(cls, str):
            # An exact string even of a subclass: its own methods are not asked.
            start = str.__getitem__(value, slice(0, _WINDOW))
            return self._string(start, str.__len__(value), "")
        if issubclass(cls, (bytes, bytearray)):
            base = bytes if issubclass(cls, bytes) else bytearray
            data = bytes(base.__getitem__(value, slice(0, _WINDOW)))
            start = data.decode("utf-8", "backslashreplace")
            return self._string(start, base.__len__(value), "b")
        if issubclass(cls, int):
            if int.bit_length(value) > _DIGITS:
                return self._counted(f"<int of {int.bit_length(value)} bits>")
            return self._counted(int.__repr__(value))
        for plain in (float, complex):
            if issubclass(cls, plain):
                return self._counted(plain.__repr__(value))
        if _is_known(value, cls):
            return self._counted(repr(value))
        return self._compound(value, cls, depth)

    def _string(self, start: str, size: int, prefix: str) -> str:
        """Show a string or bytes, `size` long, that begins with `start`."""
        self._to_look_at -= len(start)
        if self._to_look_at < 0:
            return self._counted(f"<{size} {'bytes' if prefix else 'characters'}>")
        found = self._redacting
        kept = start[:_STRING] if found is None else found.head(start, _STRING)
        more = f"{_LEFT_OUT} {size} in all" if len(start) > _STRING else ""
        return self._counted(prefix + repr(kept) + more)

    def _compound(self, value: Any, cls: type, depth: int) -> str:
        if id(value) in self._within:
            return self._counted("<itself>")
        self._within.add(id(value))
        try:
            for base, opening, closing in _SEQUENCES:
                if issubclass(cls, base):
                    items = base.__iter__(value)  # type: ignore[attr-defined]
                    return opening + self._listed(items, base.__len__(value), depth) + closing  # type: ignore[attr-defined]
            if issubclass(cls, dict):
                if depth <= 0:
                    return "{...}"
                pairs = list(islice(dict.items(value), _ITEMS))
                shown = [f"{self.show(k, depth - 1)}: {self._value(k, v, depth)}" for k, v in pairs]
                return f"{{{self._joined(shown, dict.__len__(value))}}}"
            name = class_name(cls)
            if issubclass(cls, BaseException):
                args = _args(value)
                return f"{name}({self._listed(args, len(args), depth)})"
            fields = self._fields(value, cls, depth)
            return self._counted(f"<{name} object>") if fields is None else f"{name}({fields})"
        finally:
            self._within.discard(id(value))

    def _listed(self, items: Iterable[Any], total: int, depth: int) -> str:
        if depth <= 0:
            return _LEFT_OUT if total else ""
        return self._joined([self.show(each, depth - 1) for each in islice(items, _ITEMS)], total)

    def _joined(self, shown: list[str], total: int) -> str:
        self._left -= 2 * len(shown)
        more = [f"{_LEFT_OUT} {total - len(shown)} more"] if total > len(shown) else []
        return ", ".join([*shown, *more])

    def _value(self, key: Any, value: Any, depth: int) -> str:
        shown = self.show(value, depth - 1)
        if self._redacting is None or type(key) not in (str, bytes) or len(key) > _NAME:
            return shown
        name = key if isinstance(key, str) else key.decode("latin-1")
        return self.by_name(name, shown)

    def by_name(self, name: str, shown: str) -> str:
        """Return `shown`, or what stands for it where `name` is a sensitive one."""
        if self._redacting is None or name in self._plain:
            return shown
        if not self._redacting.is_named(name):
            self._plain.add(name)
            return shown
        return self._redacting.stand_in("named", "secret", shown)

    def _fields(self, value: Any, cls: type, depth: int) -> str | None:
        """Return the fields of an instance of a data class, None for any other."""
        shape = annotated.shape_of(cls)
        if not shape.has_fields or depth <= 0:
            return None
        state = _state(value, cls)
        if not state:
            return None
        marked = dict(shape.marked)
        shown = []
        for name, each in list(islice(dict.items(state), _ITEMS)):
            text = self._value(name, each, depth)
            if name in marked and self._redacting is not None:
                text = self._redacting.stand_in("sensitive", marked[name], text)
            shown.append(f"{name}={text}")
        return self._joined(shown, len(state))

    def _counted(self, shown: str) -> str:
        self._left -= len(shown)
        return shown


def _state(value: Any, cls: type) -> dict[str, Any] | None:
    """Return the attributes of an instance as they are stored, in its dict or in slots."""
    found = {}
    for each in _mro(cls):
        for name, member in list(_namespace(each).items()):
            if type(member) is MemberDescriptorType and not name.startswith("__"):
                try:
                    found[name] = member.__get__(value)
                except AttributeError:
                    continue
    try:
        state = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return found
    return {**found, **state} if type(state) is dict else None


def _is_known(value: Any, cls: type) -> bool:
    """Tell of an exact type of the standard library whose `repr` asks nobody else."""
    # By identity: `in` would ask a metaclass.
    if any(cls is each for each in _TIMES):
        return True
    if any(cls is each for each in _ZONED):
        return value.tzinfo is None or type(value.tzinfo) is datetime.timezone
    return any(cls is getattr(sys.modules.get(module), name, None) for module, name in _MORE)
