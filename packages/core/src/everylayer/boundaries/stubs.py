"""Tracebacks as rows of plain values, and back: `tblib` makes the frames."""

from __future__ import annotations

import functools
from types import ModuleType, TracebackType
from typing import Any, NamedTuple

from .. import text

_MAX_NAME_BYTES = 2048


class Row(NamedTuple):
    """One frame: its file, the bare name of its function, its line and its module."""

    file: str
    function: str
    line: int
    module: str


# Asked for with each call.
@functools.cache
def tblib_or_explain() -> ModuleType:
    """Return the library.

    Raises:
        ModuleNotFoundError: it is not installed, with the remedy.
    """
    try:
        import tblib
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "everylayer carries the tracebacks of other processes with tblib, which is not "
            "installed: pip install 'everylayer[processes]'",
            name="tblib",
        ) from None
    return tblib  # type: ignore[no-any-return]


def rows(tb: TracebackType | None, most: int) -> tuple[Row, ...]:
    """Return the frames of `tb`, outermost first; of more than `most`, both ends."""
    found: list[TracebackType] = []
    while tb is not None:
        found.append(tb)
        tb = tb.tb_next
    if len(found) > most:
        # The inner end says more.
        head = most // 4
        found = found[:head] + found[head - most :]
    return tuple(_row(each) for each in found)


def _row(tb: TracebackType) -> Row:
    code = tb.tb_frame.f_code
    module = dict.get(tb.tb_frame.f_globals, "__name__")
    return Row(
        _plain(code.co_filename),
        _plain(code.co_name),
        tb.tb_lineno or 0,
        _plain(module) if isinstance(module, str) else "",
    )


def _plain(name: str) -> str:
    # The very object where it will do: a pickle holds it once.
    if type(name) is str and name.isascii() and len(name) <= _MAX_NAME_BYTES:
        return name
    return text.cut(str.__str__(name), _MAX_NAME_BYTES)


def traceback_from(found: tuple[Row, ...]) -> TracebackType | None:
    """Return a traceback that shows these rows, None where there are none, or no `tblib`."""
    try:
        from tblib import Traceback
    except ModuleNotFoundError:
        return None
    described: dict[str, Any] | None = None
    for row in reversed(found):
        described = {
            "tb_frame": {
                "f_globals": {"__name__": row.module, "__file__": row.file},
                "f_code": {"co_filename": row.file, "co_name": row.function},
                "f_lineno": row.line,
            },
            "tb_lineno": row.line,
            "tb_next": described,
        }
    if described is None:
        return None
    stubs: list[TracebackType] = []
    tb: TracebackType | None = Traceback.from_dict(described).as_traceback()
    while tb is not None:
        stubs.append(tb)
        tb = tb.tb_next
    joined: TracebackType | None = None
    for stub in reversed(stubs):
        # No instruction: the columns of a stub's own are those of another line.
        joined = TracebackType(joined, stub.tb_frame, -1, stub.tb_lineno)
    return joined
