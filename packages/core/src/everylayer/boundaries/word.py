"""One message from a process to the one that has begun it.

By a bare pipe where there is `fork`: to make one of `multiprocessing.Pipe`, and to use it, takes
ten times as much.
"""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing import reduction
from typing import Any

_HEAD = 4
_NOTHING = bytes(_HEAD)
_BARE = os.name == "posix"


def _piped() -> tuple[Any, Any]:
    return multiprocessing.Pipe(duplex=False)


# Returns the two ends, to read from and to write to.
line: Any = os.pipe if _BARE else _piped


def packed(writer: Any) -> Any:
    """Return what a process that is no fork is sent for `writer` as it begins."""
    return reduction.DupFd(writer) if _BARE else writer


def unpacked(sent: Any) -> Any:
    """Return the writer there."""
    return sent.detach() if _BARE else sent


def _close(end: Any) -> None:
    end.close()


# Closes one end.
close: Any = os.close if _BARE else _close


def fine(writer: Any) -> None:
    """Send that there is nothing to say, if anybody still listens."""
    try:
        if _BARE:
            os.write(writer, _NOTHING)
        else:
            writer.send_bytes(b"")
    except OSError:
        return


def send(writer: Any, data: bytes) -> None:
    """Send the message, which is not empty."""
    if _BARE:
        with open(writer, "wb", closefd=False) as file:
            file.write(len(data).to_bytes(_HEAD, "big") + data)
    else:
        writer.send_bytes(data)


def received(reader: Any) -> bytes | None:
    """Return the message, or None where it has ended without one, or without the whole of it."""
    if _BARE:
        head = os.read(reader, _HEAD)
        return b"" if head == _NOTHING else _read(reader, int.from_bytes(head, "big"))
    try:
        found: bytes = reader.recv_bytes()
    except (EOFError, OSError):
        return None
    return found


def _read(reader: int, left: int) -> bytes | None:
    parts = []
    while left and (part := os.read(reader, left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts) if parts and not left else None
