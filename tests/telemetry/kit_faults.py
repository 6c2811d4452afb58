"""What goes wrong in the apps of this folder; each error says which request it belongs to."""

from __future__ import annotations

from collections.abc import Callable

# Where an app fails. `late` is after the response, `exit` no `Exception` at all.
KINDS = ("ok", "view", "layer", "answered", "swallowed", "stream", "late", "exit")
ANSWERS = {"answered": 503, "swallowed": 200}


class AppError(Exception):
    """An error of the app's own."""


watchers: list[Callable[[BaseException], object]] = []


def message(kind: str, number: str) -> str:
    """Return the text of the error that request `number` of `kind` raises."""
    return f"{kind} of request {number}"


def fail(kind: str, number: str) -> None:
    """Raise what `kind` says."""
    text = message(kind, number)
    error: BaseException = SystemExit(text) if kind == "exit" else AppError(text)
    for watch in watchers:
        watch(error)
    try:
        raise error
    finally:
        # The frame would keep the error, and the error this frame.
        del error


def fail_if(kind: str, number: str, *wanted: str) -> None:
    """Fail where `kind` is one of those that fail here."""
    if kind in wanted:
        fail(kind, number)


def parts(path: str) -> tuple[str, str]:
    """Return the kind and the number that `path` names."""
    _, kind, number = path.split("/")
    return kind, number
