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
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, TracebackType

from .cache import Generations

# As `traceback` folds: so many equal places in a row are shown, the rest is counted.
_SHOWN = 3
# No frame takes less; that many frames fill a budget by themselves.
_LEAST_BYTES = 24
# Characters of text that count as one more entry of a cache.
_UNIT = 1024
# A longer statement is not looked up by its source.
_MAX_LINES = 32

# 3.10 knows no columns: there the text follows from code and line.
_HAS_COLUMNS = sys.version_info >= (3, 11)


# One frame: its code object, which guards against an address that is another's by now; its
# text; its place, which is file, line and function: equal ones in a row are folded, unless
# empty. A plain tuple: made and taken apart for each frame.
Rendered = tuple[Callable[[], "CodeType | None"], str, str]


class FrameCache:
    """What was rendered before.

    Attributes:
        by_code: (address of the code object, instruction) -> frame.
        by_source: position -> source and text, for code objects that are made anew each time,
            as those of templates are.
    """

    __slots__ = ("by_code", "by_source")

    def __init__(self, size: int = 16384) -> None:
        """Hold at most twice `size` frames: some 10 MB of usual ones at the default."""
        self.by_code: Generations[tuple[int, int], Rendered] = Generations(size)
        self.by_source: Generations[tuple[object, ...], tuple[str, str]] = Generations(size // 8)

    def clear(self) -> None:
        """Forget all frames."""
        self.by_code.clear()
        self.by_source.clear()


def stack_lines(tb: TracebackType | None, frames: FrameCache, max_bytes: int) -> list[str]:
    """Return the lines of the stack without its heading, nothing for no frames.

    Of the frames met for the first time only as many are rendered in full as would fill
    `max_bytes` alone, those at both ends; the rest go without their source line.
    """
    limit = getattr(sys, "tracebacklimit", None)
    if _HAS_COLUMNS and limit is None:
        lines = _known(tb, frames)
        if lines is not None:
            return lines
    return _folded(_all(tb, frames, max_bytes, limit if type(limit) is int else None))


def _known(tb: TracebackType | None, frames: FrameCache) -> list[str] | None:
    """Return the lines if no frame is new and none is repeated: the hot path."""
    young = frames.by_code.young
    lines: list[str] = []
    add = lines.append
    last = None
    try:
        while tb is not None:
            code = tb.tb_frame.f_code
            ref, text, place = young[id(code), tb.tb_lasti]
            if ref() is not code or place == last:
                return None
            add(text)
            last = place
            tb = tb.tb_next
    except KeyError:
        return None
    return lines


def _all(
    tb: TracebackType | None, frames: FrameCache, max_bytes: int, limit: int | None
) -> list[Rendered]:
    """Return the frames in order, after rendering those that are missing, each once."""
    shown: list[Rendered | int] = []
    missing: list[TracebackType] = []
    # With the line: an instruction that has none may come with any.
    wanted: dict[tuple[int, int, int | None], int] = {}
    young, older = frames.by_code.young.get, frames.by_code.get
    left = sys.maxsize if limit is None else limit
    while tb is not None and left > 0:
        code = tb.tb_frame.f_code
        place = _key(tb, code)
        rendered = young(place) or older(place)
        if rendered is not None and rendered[0]() is code:
            shown.append(rendered)
        else:
            key = (id(code), tb.tb_lasti, tb.tb_lineno)
            index = wanted.get(key)
            if index is None:
                index = wanted[key] = len(missing)
                missing.append(tb)
            shown.append(index)
        tb = tb.tb_next
        left -= 1
    most = max_bytes // _LEAST_BYTES + 2
    if len(missing) <= most:
        fresh = _render(missing, frames)
    else:
        fresh = _render_ends(missing, shown, frames, most)
    return [fresh[each] if isinstance(each, int) else each for each in shown]


def _key(tb: TracebackType, code: CodeType) -> tuple[int, int]:
    return id(code), tb.tb_lasti if _HAS_COLUMNS else tb.tb_lineno


def _render_ends(
    missing: list[TracebackType], shown: list[Rendered | int], frames: FrameCache, most: int
) -> list[Rendered]:
    """Render what belongs to the first and the last of `most` frames that are not folded away."""
    fresh = [_bare(tb) for tb in missing]
    places = [fresh[each][2] if isinstance(each, int) else each[2] for each in shown]
    visible = [each for each, nth in zip(shown, _in_a_row(places), strict=True) if nth <= _SHOWN]
    ends = visible[: most // 3] + visible[most // 3 - most :]
    chosen = sorted({each for each in ends if isinstance(each, int)})
    rendered = _render([missing[index] for index in chosen], frames)
    for index, each in zip(chosen, rendered, strict=True):
        fresh[index] = each
    return fresh


def _render(missing: list[TracebackType], frames: FrameCache) -> list[Rendered]:
    if not missing:
        return []
    joined: TracebackType | None = None
    for tb in reversed(missing):
        line = _line(tb)
        joined = TracebackType(joined, tb.tb_frame, tb.tb_lasti, -1 if line is None else line)
    try:
        # One call for all: it looks at each source file once. The limit given goes before
        # `sys.tracebacklimit`, which another thread may set by now.
        summary = traceback.extract_tb(joined, limit=len(missing))
    except Exception:
        # A code object without positions, a loader of the app that raises: one shall not
        # spoil the rest.
        if len(missing) == 1:
            return [_bare(missing[0])]
        return [_render([tb], frames)[0] for tb in missing]
    rendered: list[Rendered] = []
    keep = frames.by_code.put
    for tb, frame in zip(missing, summary, strict=True):
        try:
            text = _text(summary, frame, frames)
        except Exception:
            # The source that is there is not that of the code.
            rendered.append(_bare(tb))
            continue
        code = tb.tb_frame.f_code
        entry = (_guard(code), text, _place(frame.filename, frame.lineno, frame.name))
        rendered.append(entry)
        if _is_pure(tb, frame):
            keep(_key(tb, code), entry, 1 + len(text) // _UNIT)
    return rendered


if sys.version_info >= (3, 11):

    def _text(
        summary: traceback.StackSummary, frame: traceback.FrameSummary, frames: FrameCache
    ) -> str:
        end = frame.end_lineno
        key = (frame.filename, frame.name, frame.lineno, end, frame.colno, frame.end_colno)
        before = frames.by_source.get(key)
        if before is None:
            # Most code is rendered once: its source is read when it comes back as a new object.
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
        return traceback.format_list([frame])[0]

    def _is_pure(tb: TracebackType, frame: traceback.FrameSummary) -> bool:
        return True


def _bare(tb: TracebackType) -> Rendered:
    """Return the frame without its source: never kept."""
    code = tb.tb_frame.f_code
    line = _line(tb)
    text = f'  File "{code.co_filename}", line {line}, in {code.co_name}\n'
    return _guard(code), text, _place(code.co_filename, line, code.co_name)


def _guard(code: CodeType) -> Callable[[], CodeType | None]:
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


def _folded(shown: list[Rendered]) -> list[str]:
    lines: list[str] = []
    count = 0
    for (_, text, _), nth in zip(shown, _in_a_row(each[2] for each in shown), strict=True):
        if nth == 1 and count > _SHOWN:
            lines.append(_repeated(count - _SHOWN))
        count = nth
        if nth <= _SHOWN:
            lines.append(text)
    if count > _SHOWN:
        lines.append(_repeated(count - _SHOWN))
    return lines


def _in_a_row(places: Iterable[str]) -> Iterator[int]:
    """Yield for each place the how many-eth it is of equal ones in a row, from 1."""
    last = ""
    nth = 0
    for place in places:
        nth = nth + 1 if place == last and place else 1
        last = place
        yield nth


def _repeated(times: int) -> str:
    return f"  [Previous line repeated {times} more time{'s' if times > 1 else ''}]\n"
