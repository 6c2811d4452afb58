"""Values of the app as bytes: bounded, and whatever pickling them does, it stays here."""

from __future__ import annotations

import pickle
from typing import Any

# Readable by whichever supported Python is at the other end.
_PROTOCOL = 4


class TooMuch(Exception):
    """A value takes more bytes than there is room for."""


class Room:
    """The bytes that one carried error may still take."""

    __slots__ = ("left",)

    def __init__(self, size: int) -> None:
        self.left = size


class _Sink:
    """Takes what a pickler writes, up to a limit: a huge value is never made whole."""

    __slots__ = ("_limit", "_parts", "size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self.size = 0

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        self.size += size
        if self.size > self._limit:
            raise TooMuch
        self._parts.append(bytes(data))
        return size

    def value(self) -> bytes:
        return b"".join(self._parts)


def dumped(value: Any, room: Room) -> bytes | None:
    """Return `value` as bytes and take them off `room`; None if it cannot be pickled, or fit."""
    sink = _Sink(room.left)
    try:
        pickle.Pickler(sink, _PROTOCOL).dump(value)
    except BaseException:
        # Its `__reduce__` may raise anything; the error that is being carried goes first.
        return None
    room.left -= sink.size
    return sink.value()


class Unloadable(Exception):
    """These bytes are of something that is not there in this process."""


def loaded(data: bytes) -> Any:
    """Return the value of what `dumped` made.

    Raises:
        Unloadable: its class cannot be imported here, or refuses.
    """
    try:
        return pickle.loads(data)
    except BaseException as exc:
        raise Unloadable(type(exc).__name__) from None
