"""Notes that are kept on an exception itself: they go where it goes, and when it goes.

Builtin exceptions take no weak reference, and an address alone may come back as that of another
one. So a note is an entry of the exception's own `__dict__`: a tuple of plain values, which refers
to nothing of the request and may be pickled where everylayer is not.
"""

from __future__ import annotations

from typing import Any

# Read through the base class: a subclass may define hostile properties of this name.
_state: Any = BaseException.__dict__["__dict__"].__get__


def of(exc: BaseException, key: str) -> Any:
    """Return the note on `exc` under `key`, None if there is none."""
    return _state(exc).get(key)


def put(exc: BaseException, key: str, note: tuple[Any, ...]) -> None:
    """Keep `note` on `exc`, in place of an earlier one."""
    _state(exc)[key] = note


def drop(exc: BaseException, key: str) -> None:
    """Take the note off `exc`."""
    _state(exc).pop(key, None)
