"""Exceptions in the place of those that this process cannot make: caught by the same `except`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from . import anatomy

_MARK = "__everylayer_stand_in__"
_MESSAGE = "__everylayer_message__"


def is_stand_in(cls: type) -> bool:
    """Tell whether `cls` was made here."""
    return _MARK in vars(cls)


def stand_in(
    name: tuple[str, str], bases: Iterable[type], message: str, args: tuple[Any, ...]
) -> BaseException:
    """Return an exception of the nearest class that there is, which calls itself `name`.

    Args:
        name: module and qualified name.
        bases: classes of exceptions, nearest first.
        message: what `str()` gives.
        args: for the builtin base class; the message alone where these do not fit.
    """
    made: BaseException | None = None
    for base in (*bases, BaseException):
        made = _of(name, base, args) or _of(name, base, (message,))
        if made is not None:
            break
    assert made is not None
    anatomy.dictionary_of(made)[_MESSAGE] = message
    return made


def _of(name: tuple[str, str], base: type, args: tuple[Any, ...]) -> BaseException | None:
    module, qualname = name
    namespace = {
        "__module__": module,
        "__qualname__": qualname,
        "__str__": _text,
        "__repr__": _shown,
        _MARK: True,
    }
    try:
        cls = type(base)(qualname.rpartition(".")[2], (base,), namespace)
        return anatomy.make(cls, args)
    except BaseException:
        # A metaclass, an `__init_subclass__`, arguments of another shape: the next class will do.
        return None


def _text(self: BaseException) -> str:
    return str(anatomy.dictionary_of(self).get(_MESSAGE, ""))


def _shown(self: BaseException) -> str:
    return f"{type(self).__name__}({_text(self)!r})"
