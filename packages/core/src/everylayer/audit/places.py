"""The line that a class begins at, without parsing its whole file."""

from __future__ import annotations

import inspect
import linecache
import re
from types import FunctionType
from typing import Any


def class_place(cls: type[Any]) -> tuple[str, int] | None:
    """Return file and line of a class, None for one without source."""
    try:
        file = inspect.getsourcefile(cls)
        return (file, _line(cls, file)) if file else None
    except (IndexError, OSError, TypeError):
        return None  # Written in C, or made by `exec`.


def _line(cls: type[Any], file: str) -> int:
    line = vars(cls).get("__firstlineno__")  # From Python 3.13 on.
    if isinstance(line, int):
        return line
    lines = linecache.getlines(file)
    head = re.compile(rf"\s*class\s+{re.escape(cls.__name__)}\b")
    found = [number for number, text in enumerate(lines, 1) if head.match(text)]
    own = [m.__code__.co_firstlineno for m in vars(cls).values() if isinstance(m, FunctionType)]
    above = [number for number in found if number <= min(own, default=len(lines))]
    return (above or found)[-1]
