"""A stack as lines: frames known and new, repeated ones folded."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from types import TracebackType

from .frames import HAS_COLUMNS, FrameCache, Rendered, bare, render, spot_of

# As `traceback` folds: so many equal places in a row are shown, the rest is counted.
_SHOWN = 3
# No frame takes less; that many frames fill a budget by themselves.
_LEAST_BYTES = 24


def stack_lines(tb: TracebackType | None, frames: FrameCache, max_bytes: int) -> list[str]:
    """Return the lines of the stack without its heading, nothing for no frames.

    Of the frames met for the first time only as many are rendered in full as would fill
    `max_bytes` alone, those at both ends; the rest go without their source line.
    """
    limit = getattr(sys, "tracebacklimit", None)
    if HAS_COLUMNS and limit is None:
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
            ref, text, place = young[id(code) + tb.tb_lasti]
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
        spot = spot_of(tb)
        rendered = young(spot) or older(spot)
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
        # All new: they hang together already.
        fresh = render(missing, frames, chained=len(missing) == len(shown))
    else:
        fresh = _ends(missing, shown, frames, most)
    return [fresh[each] if isinstance(each, int) else each for each in shown]


def _ends(
    missing: list[TracebackType], shown: list[Rendered | int], frames: FrameCache, most: int
) -> list[Rendered]:
    """Render what belongs to the first and the last of `most` frames that are not folded away."""
    fresh = [bare(tb) for tb in missing]
    places = [fresh[each][2] if isinstance(each, int) else each[2] for each in shown]
    visible = [each for each, nth in zip(shown, _in_a_row(places), strict=True) if nth <= _SHOWN]
    ends = visible[: most // 3] + visible[most // 3 - most :]
    chosen = sorted({each for each in ends if isinstance(each, int)})
    rendered = render([missing[index] for index in chosen], frames)
    for index, each in zip(chosen, rendered, strict=True):
        fresh[index] = each
    return fresh


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
