"""Notes that are kept on an exception itself: they go where it goes, and when it goes.

Builtin exceptions take no weak reference, and an address alone may come back as that of another
one. So a note is an entry of the exception's own `__dict__`: a tuple of plain values, which refers
to nothing of the request and may be pickled where everylayer is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Read through the base class: a subclass may define hostile properties of this name.
_state: Any = BaseException.__dict__["__dict__"].__get__


# A key of each: what is not one of them is the app's.
PREFIX = "_everylayer_"


def of(exc: BaseException, key: str) -> Any:
    """Return the note on `exc` under `key`, None if there is none."""
    return _state(exc).get(key)


def put(exc: BaseException, key: str, note: tuple[Any, ...]) -> None:
    """Keep `note` on `exc`, in place of an earlier one."""
    _state(exc)[key] = note


def apart_from_ours(state: Mapping[str, Any]) -> list[Any]:
    """Return the values in an exception's `__dict__` that are no notes."""
    return [
        value
        for key, value in list(state.items())
        if not (type(key) is str and key.startswith(PREFIX))
    ]


def drop(exc: BaseException, key: str) -> None:
    """Take the note off `exc`."""
    _state(exc).pop(key, None)
