"""The frames of a traceback as text, each rendered once by the standard library.

The text of a frame depends on its code object, on the instruction that raised and on the
source file alone: it holds no value of the running program, so one tenant's error cannot
show in another's. A source file that is edited while the process runs keeps its old lines
here, where the standard library would show the new ones.
"""

from __future__ import annotations

import sys
import traceback
import weakref
from types import CodeType, TracebackType

# As `traceback` folds: so many equal places in a row are shown, the rest is counted.
_SHOWN = 3
# Longer texts (minified or generated source) are not kept.
_LONGEST = 4096
# No frame takes less; so many rendered frames fill the budget by themselves.
_LEAST_BYTES = 24

_HAS_COLUMNS = sys.version_info >= (3, 11)

# File, line and function: equal ones in a row are folded. Without a line, none are.
Place = tuple[str, "int | None", str]
# The code object guards against an address that was given to another one since.
Rendered = tuple["weakref.ref[CodeType]", str, Place]
Key = tuple[int, int]


class FrameCache:
    """Rendered frames by (address of the code object, instruction), the least used dropped.

    Two generations: when the young one is full it becomes the old one, and what is still in
    use comes back from there. Each step is one atomic operation of a dict, so there is no
    lock to wait for, or to deadlock on when a finalizer raises in the midst of it; two
    threads that race lose at most some entries, which are rendered again.
    """

    __slots__ = ("_old", "_size", "young")

    def __init__(self, size: int = 16384) -> None:
        """Hold at most twice `size` frames: some 16 MB of usual ones at the default."""
        self._size = size
        self.young: dict[Key, Rendered] = {}
        self._old: dict[Key, Rendered] = {}

    def get(self, key: Key, code: CodeType) -> Rendered | None:
        """Return the frame if it is there and of this very `code`."""
        found = self.young.get(key)
        if found is not None and found[0]() is code:
            return found
        found = self._old.get(key)
        if found is not None and found[0]() is code:
            self.put(key, found)
            return found
        return None

    def put(self, key: Key, rendered: Rendered) -> None:
        """Keep a frame, in place of any other of that key."""
        if len(self.young) >= self._size:
            self._old = self.young
            self.young = {}
        self.young[key] = rendered

    def clear(self) -> None:
        """Forget all frames."""
        self.young = {}
        self._old = {}


def stack_lines(tb: TracebackType | None, frames: FrameCache, max_bytes: int) -> list[str]:
    """Return the lines of the stack, without its heading, empty without a frame.

    Of frames met for the first time, only as many are rendered in full as could fill
    `max_bytes` by themselves, those at both ends; the rest go without their source line.
    """
    limit = getattr(sys, "tracebacklimit", None)
    if type(limit) is not int:
        limit = None
    shown: list[Rendered] | None = None
    if limit is None and _HAS_COLUMNS:
        shown = _known(tb, frames)
    if shown is None:
        shown = _all(tb, frames, max_bytes, limit)
    return _folded(shown)


def _known(tb: TracebackType | None, frames: FrameCache) -> list[Rendered] | None:
    """Return the frames if all of them were rendered before: the hot path."""
    found = frames.young.get
    shown: list[Rendered] = []
    add = shown.append
    while tb is not None:
        code = tb.tb_frame.f_code
        rendered = found((id(code), tb.tb_lasti))
        if rendered is None or rendered[0]() is not code:
            return None
        add(rendered)
        tb = tb.tb_next
    return shown


def _all(
    tb: TracebackType | None, frames: FrameCache, max_bytes: int, limit: int | None
) -> list[Rendered]:
    """Return the frames, rendering those that are missing, each once."""
    shown: list[Rendered | None] = []
    wanted: dict[tuple[int, int, int | None], list[int]] = {}
    missing: list[TracebackType] = []
    left = sys.maxsize if limit is None else limit
    while tb is not None and left > 0:
        code = tb.tb_frame.f_code
        rendered = frames.get(_key(tb, code), code)
        if rendered is None:
            # The line belongs to the key here: an instruction without one may be given any.
            places = wanted.setdefault((id(code), tb.tb_lasti, tb.tb_lineno), [])
            if not places:
                missing.append(tb)
            places.append(len(shown))
        shown.append(rendered)
        tb = tb.tb_next
        left -= 1
    for first, places in zip(_render(missing, frames, max_bytes), wanted.values(), strict=True):
        for place in places:
            shown[place] = first
    return shown  # type: ignore[return-value]


def _key(tb: TracebackType, code: CodeType) -> Key:
    # On 3.10 the text has no columns and the line is the traceback's own.
    return (id(code), tb.tb_lasti if _HAS_COLUMNS else tb.tb_lineno)


def _render(missing: list[TracebackType], frames: FrameCache, max_bytes: int) -> list[Rendered]:
    most = max_bytes // _LEAST_BYTES + 2
    if len(missing) <= most:
        return _render_by_library(missing, frames)
    head = most // 3
    tail = len(missing) - (most - head)
    return [
        *_render_by_library(missing[:head], frames),
        *map(_bare, missing[head:tail]),
        *_render_by_library(missing[tail:], frames),
    ]


def _render_by_library(missing: list[TracebackType], frames: FrameCache) -> list[Rendered]:
    if not missing:
        return []
    joined: TracebackType | None = None
    for tb in reversed(missing):
        line = tb.tb_lineno
        joined = TracebackType(joined, tb.tb_frame, tb.tb_lasti, -1 if line is None else line)
    try:
        # One call for all: it looks at each source file once.
        summary = traceback.extract_tb(joined, limit=len(missing))
    except Exception:
        # A module's loader raised.
        return [_bare(tb) for tb in missing]
    rendered = []
    for tb, frame in zip(missing, summary, strict=True):
        code = tb.tb_frame.f_code
        try:
            lines = _format(summary, frame)
        except Exception:
            # The source on disk is no longer that of the code.
            rendered.append(_bare(tb))
            continue
        entry = (weakref.ref(code), lines, (frame.filename, frame.lineno, frame.name))
        if len(lines) <= _LONGEST and _is_pure(tb, code, frame):
            frames.put(_key(tb, code), entry)
        rendered.append(entry)
    return rendered


def _format(summary: traceback.StackSummary, frame: traceback.FrameSummary) -> str:
    if sys.version_info >= (3, 11):
        return summary.format_frame_summary(frame)
    return traceback.format_list([frame])[0]


def _is_pure(tb: TracebackType, code: CodeType, frame: traceback.FrameSummary) -> bool:
    """Tell whether the text follows from code and instruction alone."""
    if sys.version_info >= (3, 11):
        if frame.colno is not None:
            return True
        # An instruction without a line takes the one that the traceback was made with.
        lasti = tb.tb_lasti
        if lasti < 0:
            return False
        return all(
            position[0] is not None
            for index, position in enumerate(code.co_positions())
            if index == lasti // 2
        )
    return True


def _bare(tb: TracebackType) -> Rendered:
    code = tb.tb_frame.f_code
    place = (code.co_filename, tb.tb_lineno, code.co_name)
    return weakref.ref(code), '  File "{}", line {}, in {}\n'.format(*place), place


def _folded(shown: list[Rendered]) -> list[str]:
    lines: list[str] = []
    last: Place | None = None
    count = 0
    for _, line, place in shown:
        if place != last or place[1] is None:
            if count > _SHOWN:
                lines.append(_repeated(count - _SHOWN))
            last = place
            count = 0
        count += 1
        if count <= _SHOWN:
            lines.append(line)
    if count > _SHOWN:
        lines.append(_repeated(count - _SHOWN))
    return lines


def _repeated(times: int) -> str:
    return f"  [Previous line repeated {times} more time{'s' if times > 1 else ''}]\n"
