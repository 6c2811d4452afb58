"""Whose settings hold where an app records by itself: those of the app that is being run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import CodeType, FrameType
from typing import Any

from .settings import Settings

Tell = Callable[[Mapping[str, Any]], "Settings | None"]

# By `id`, which the code beside it keeps from being given to another: to hash one is dear.
_seams: dict[int, tuple[CodeType, Tell]] = {}

# What tells them where no seam is around: of a framework that has one app a process.
_everywhere: Callable[[], Settings] | None = None


def told_by(seam: Callable[..., Any], tell: Tell) -> None:
    """Let the variables of each call of `seam`, an outermost one, tell the app's settings."""
    code: CodeType = seam.__code__
    _seams[id(code)] = (code, tell)


def told_everywhere(tell: Callable[[], Settings] | None) -> None:
    """Let `tell` say which settings hold where no seam is around; None takes that back."""
    global _everywhere
    _everywhere = tell


def of_ledger(variables: Mapping[str, Any]) -> Settings | None:
    """Return the settings of the ledger that a seam keeps in a variable of that name."""
    found: Settings | None = getattr(variables.get("ledger"), "settings", None)
    return found


def around() -> Settings | None:
    """Return the settings of the app that the caller runs in, None where nothing tells them.

    A frame is no good in another thread or task, where a framework may well run the app's code.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        seam = _seams.get(id(frame.f_code))
        if seam is not None:
            found = seam[1](frame.f_locals)
            if found is not None:
                return found
        frame = frame.f_back
    return None


def rules(default: Settings) -> Settings:
    """Return the settings that hold for the caller, `default` outside of all apps."""
    found = around()
    if found is not None:
        return found
    return default if _everywhere is None else _everywhere()
