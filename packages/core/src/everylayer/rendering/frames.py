"""The frames of a traceback as text, each rendered once by the standard library.

The text of a frame follows from its code object, the instruction that raised and the source
file. It holds no value of the running program: what one tenant sent cannot show in another's
stack. A source file edited while the process runs keeps its old lines here, where the standard
library would show the new ones beside code that is still the old.
"""

from __future__ import annotations

import linecache
import sys
import traceback
import weakref
from collections.abc import Callable
from types import CodeType, TracebackType

from .cache import Generations

# Characters of text that count as one more entry of a cache.
_UNIT = 1024
# A longer statement is not looked up by its source.
_MAX_LINES = 32

# 3.10 knows no columns: there the text follows from code and line.
HAS_COLUMNS = sys.version_info >= (3, 11)

# One frame: its code object, which guards against an address that is another's by now; its
# text; its place, which is file, line and function: equal ones in a row are folded, unless
# empty. A plain tuple: made and taken apart for each frame.
Rendered = tuple[Callable[[], "CodeType | None"], str, str]


class FrameCache:
    """What was rendered before.

    Attributes:
        by_code: place -> frame; see `spot_of`.
        by_source: position -> source and text, for code objects that are made anew each time,
            as those of templates are.
        redact: takes secrets out of a frame's text, once; it raises rather than leave any.
    """

    __slots__ = ("by_code", "by_source", "redact")

    def __init__(self, size: int = 16384, redact: Callable[[str], str] | None = None) -> None:
        """Hold at most twice `size` frames; usual ones take half a kilobyte each."""
        self.redact: Callable[[str], str] | None = redact
        self.by_code: Generations[int, Rendered] = Generations(size)
        self.by_source: Generations[tuple[object, ...], tuple[str, str]] = Generations(size // 8)

    def clear(self) -> None:
        """Forget all frames."""
        self.by_code.clear()
        self.by_source.clear()


def render(
    missing: list[TracebackType], frames: FrameCache, *, chained: bool = False
) -> list[Rendered]:
    """Return the frames as the standard library renders them, and keep them.

    Args:
        missing: their tracebacks.
        frames: where to.
        chained: `missing` is one traceback from its first to its last frame.
    """
    if not missing:
        return []
    joined = missing[0] if chained else _joined(missing)
    try:
        # One call for all: it looks at each source file once. The limit given goes before
        # `sys.tracebacklimit`, which another thread may set by now.
        summary = traceback.extract_tb(joined, limit=len(missing))
    except Exception:
        # A code object without positions, a loader of the app that raises: one shall not
        # spoil the rest.
        if len(missing) == 1:
            return [bare(missing[0])]
        return [render([tb], frames)[0] for tb in missing]
    rendered: list[Rendered] = []
    keep = frames.by_code.put
    for tb, frame in zip(missing, summary, strict=True):
        try:
            text = _text(summary, frame, frames)
            if frames.redact is not None:
                text = frames.redact(text)
        except Exception:
            # The source that is there is not that of the code, or what it says must not be told.
            rendered.append(bare(tb))
            continue
        code = tb.tb_frame.f_code
        entry = (guard_of(code), text, _place(frame.filename, frame.lineno, frame.name))
        rendered.append(entry)
        if _is_pure(tb, frame):
            keep(spot_of(tb), entry, 1 + len(text) // _UNIT)
    return rendered


if HAS_COLUMNS:

    def spot_of(tb: TracebackType) -> int:
        """Return a number for code and instruction, which nothing else has that is alive.

        From 3.11 on the instructions are part of the code object, so this is an address within
        it; elsewhere two may meet, and the guard tells them apart.
        """
        return id(tb.tb_frame.f_code) + tb.tb_lasti

else:

    def spot_of(tb: TracebackType) -> int:
        """Return a number for code and line; the guard tells apart those that share it."""
        return id(tb.tb_frame.f_code) + (tb.tb_lineno or 0)


def _joined(tbs: list[TracebackType]) -> TracebackType | None:
    """Return one traceback of the frames of `tbs`."""
    joined: TracebackType | None = None
    for tb in reversed(tbs):
        line = _line(tb)
        joined = TracebackType(joined, tb.tb_frame, tb.tb_lasti, -1 if line is None else line)
    return joined


if sys.version_info >= (3, 11):

    def _text(
        summary: traceback.StackSummary, frame: traceback.FrameSummary, frames: FrameCache
    ) -> str:
        if frame.filename.endswith(".py"):
            # A module: its code is made once.
            return summary.format_frame_summary(frame)
        end = frame.end_lineno
        key = (frame.filename, frame.name, frame.lineno, end, frame.colno, frame.end_colno)
        before = frames.by_source.get(key)
        if before is None:
            # Its source is read when it comes back as a new object.
            frames.by_source.put(key, ("", ""))
            return summary.format_frame_summary(frame)
        source = _source(frame)
        if source and source == before[0]:
            return before[1]
        text = summary.format_frame_summary(frame)
        if source:
            frames.by_source.put(key, (source, text), 1 + len(text) // _UNIT)
        return text

    def _source(frame: traceback.FrameSummary) -> str:
        """Return the lines that the text shows, empty where they cannot be told."""
        first, end = frame.lineno, frame.end_lineno
        if first is None or end is None or end - first > _MAX_LINES:
            return ""
        lines = [linecache.getline(frame.filename, line) for line in range(first, end + 1)]
        # Code typed in by hand has its own source, apart from the file of its name.
        return "".join(lines) if lines and lines[0].strip() == frame.line else ""

    def _is_pure(tb: TracebackType, frame: traceback.FrameSummary) -> bool:
        """Tell whether the text follows from code and instruction alone.

        It does unless the instruction has no line: then the line is the traceback's own.
        """
        if frame.colno is not None:
            return True
        index = tb.tb_lasti // 2
        if index < 0:
            return False
        positions = tb.tb_frame.f_code.co_positions()
        return all(each[0] is not None for at, each in enumerate(positions) if at == index)

else:

    def _text(
        summary: traceback.StackSummary, frame: traceback.FrameSummary, frames: FrameCache
    ) -> str:
        # This version is final, and its own `format_list` takes twice the time.
        text = f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}\n'
        return f"{text}    {frame.line.strip()}\n" if frame.line else text

    def _is_pure(tb: TracebackType, frame: traceback.FrameSummary) -> bool:
        return True


def bare(tb: TracebackType) -> Rendered:
    """Return the frame without its source: never kept."""
    code = tb.tb_frame.f_code
    line = _line(tb)
    text = f'  File "{code.co_filename}", line {line}, in {code.co_name}\n'
    return guard_of(code), text, _place(code.co_filename, line, code.co_name)


def guard_of(code: CodeType) -> Callable[[], CodeType | None]:
    """Return what yields `code` while it is alive."""
    try:
        return weakref.ref(code)
    except TypeError:
        # An interpreter that cannot tell code objects apart safely renders each time.
        return _nothing


def _nothing() -> None:
    return None


def _line(tb: TracebackType) -> int | None:
    # None for an instruction without a line, whatever the annotations say.
    return tb.tb_lineno


def _place(file: str, line: int | None, function: str) -> str:
    # A name may hold any character: the lengths keep two places apart.
    return "" if line is None else f"{line} {len(function)} {function} {file}"
