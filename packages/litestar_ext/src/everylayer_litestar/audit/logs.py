"""Litestar's threads for logs: begun when an app is opened, since a fork would be without them."""

from __future__ import annotations

from typing import Any

from litestar.logging.standard import LoggingQueueListener

from everylayer.boundaries.patch import Patch, Switch

_waiting: list[Any] = []


def _starting(original: Any, _: Switch) -> Any:
    def start(self: Any) -> None:
        _waiting.append(self)

    return start


def _stopping(original: Any, _: Switch) -> Any:
    def stop(self: Any) -> None:
        if self in _waiting:  # At the end of a process that has opened nothing.
            _waiting.remove(self)
        else:
            original(self)

    return stop


_PATCHES = (
    Patch(LoggingQueueListener, "start", _starting),
    Patch(LoggingQueueListener, "stop", _stopping),
)


def wait() -> None:
    """Have those to come wait for `begin`."""
    for patch in _PATCHES:
        patch.put()


def begin() -> None:
    """Begin those that have waited."""
    for patch in _PATCHES:
        patch.undo()
    while _waiting:
        _waiting.pop().start()
