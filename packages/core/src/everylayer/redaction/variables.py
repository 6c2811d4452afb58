"""The local variables of the app's frames as a text, where the settings ask for them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import CodeType, FrameType, TracebackType
from typing import TYPE_CHECKING

from .. import text
from ..failsafe import contained
from ..stacktrace import is_own
from .shown import UNSHOWN, Showing

if TYPE_CHECKING:
    from .guard import Redacting

_MOST_FRAMES = 4
_MOST_VARIABLES = 20
_MOST_CHARS = 200
_MOST_BYTES = 4096
_MOST_NAME = 80

_LIBRARY = os.path.dirname(os.__file__) + os.sep
_INSTALLED = ("site-packages", "dist-packages")


@contained
def of(tb: TracebackType | None, redacting: Redacting | None, limit: int) -> str:
    """Return the variables of the app's innermost frames, the innermost first.

    A frame is a line as in a traceback, a variable `name = value` on a line of its own.

    Args:
        tb: of the error.
        redacting: takes secrets out.
        limit: bytes of UTF-8; never more than 4 KiB.
    """
    lines: list[str] = []
    showing = Showing(redacting)
    room = min(limit, _MOST_BYTES)
    for frame, line in _frames(tb):
        for each in _of_frame(frame, line, redacting, showing):
            room -= len(each.encode()) + 1
            if room < len(_MORE) + 1:
                return "\n".join([*lines, _MORE])
            lines.append(each)
    return "\n".join(lines)


_MORE = "  [... more left out ...]"


def _frames(tb: TracebackType | None) -> list[tuple[FrameType, int]]:
    found = []
    while tb is not None:
        if _is_of_app(tb.tb_frame):
            found.append((tb.tb_frame, tb.tb_lineno or 0))
        tb = tb.tb_next
    return found[: -_MOST_FRAMES - 1 : -1]


def _is_of_app(frame: FrameType) -> bool:
    code = frame.f_code
    file = code.co_filename
    # At the level of a module or a class there are no local variables.
    if not (code.co_nlocals or code.co_cellvars or code.co_freevars) or file.startswith("<"):
        return False
    installed = file.startswith(_LIBRARY) or any(each in file for each in _INSTALLED)
    return not installed and not is_own(frame)


def _of_frame(
    frame: FrameType, line: int, redacting: Redacting | None, showing: Showing
) -> Iterator[str]:
    code = frame.f_code
    yield f'File "{text.shorten(code.co_filename, 4 * _MOST_CHARS)}", line {line}, in {_name(code)}'
    values = [
        (name, value)
        for name, value in list(frame.f_locals.items())
        # Without what a compiler or a debugger puts there.
        if name.isidentifier()
        and not name.startswith("__")
        and not issubclass(type(value), UNSHOWN)
    ]
    if not values:
        return
    lines = [_line(name, value, showing) for name, value in values[:_MOST_VARIABLES]]
    composed = "\n".join(lines)
    if redacting is not None:
        # Once more: some secrets show only beside a name, or in a number.
        composed = redacting.head(composed, len(composed))
    for each in composed.split("\n"):
        yield "  " + text.one_line(each, _MOST_CHARS)
    if len(values) > _MOST_VARIABLES:
        yield _MORE


def _name(code: CodeType) -> str:
    return text.shorten(getattr(code, "co_qualname", code.co_name), _MOST_CHARS)


def _line(name: str, value: object, showing: Showing) -> str:
    shown = showing.by_name(name, showing.variable(value))
    return f"{text.shorten(name, _MOST_NAME)} = {shown}".replace("\n", " ")
