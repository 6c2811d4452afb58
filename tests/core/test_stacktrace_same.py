"""Whatever the exception: the very text of the standard library."""

from __future__ import annotations

import re
import sys
import traceback
from types import TracebackType
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from everylayer import stacktrace, text
from everylayer.rendering.frames import FrameCache
from shapes import EXCEPTIONS, compiled, errors, over_lines, raised, recursion

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

AMPLE = 1 << 24


def by_library(exc: BaseException, tb: TracebackType | None) -> str:
    return "".join(traceback.format_exception(type(exc), exc, tb))


def check(exc: BaseException, tb: TracebackType | None = None) -> None:
    try:
        expected = by_library(exc, exc.__traceback__ if tb is None else tb)
    except Exception:
        # The standard library gives up on this one; we must not.
        stacktrace.render(exc, tb, max_bytes=AMPLE)
        return
    assert stacktrace.render(exc, tb, max_bytes=AMPLE) == text.clean(expected)
    # Warm, and from the old generation of a small cache.
    assert stacktrace.render(exc, tb, max_bytes=AMPLE) == text.clean(expected)


def without_line(exc: BaseException, lasti: int, line: int) -> BaseException:
    """A traceback made by hand, as template engines do, for an instruction before the first."""
    frame = sys._getframe()
    for each in (line, line, line + 1):
        exc.__traceback__ = TracebackType(exc.__traceback__, frame, lasti, each)
    return exc


LIMITS = st.sampled_from([None, None, None, -1, 0, 1, 3, 1000])


@pytest.fixture(params=[16384, 1, 3])
def cache_size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacktrace, "_frames", FrameCache(request.param))


@pytest.mark.usefixtures("cache_size")
@settings(deadline=None)
@given(exc=errors(), limit=LIMITS)
def test_any_exception_reads_as_in_the_standard_library(
    exc: BaseException, limit: int | None
) -> None:
    if limit is None:
        check(exc)
        return
    sys.tracebacklimit = limit
    try:
        check(exc)
    finally:
        del sys.tracebacklimit


@settings(deadline=None)
@given(exc=errors(), skip=st.integers(0, 3))
def test_the_traceback_given_replaces_that_of_the_exception(exc: BaseException, skip: int) -> None:
    tb = raised(ValueError("other"), [recursion(5), over_lines]).__traceback__
    for _ in range(skip):
        tb = tb.tb_next if tb else None
    assert tb is not None
    check(exc, tb)


@settings(deadline=None)
@given(exc=EXCEPTIONS, lasti=st.integers(-2, 4), line=st.integers(0, 40))
def test_a_traceback_made_by_hand(exc: BaseException, lasti: int, line: int) -> None:
    check(without_line(exc, lasti * 2 if lasti >= 0 else lasti, line))


@pytest.mark.parametrize("width", [1, 14, 15, 16, 17, 40])
def test_a_wide_group(width: int) -> None:
    check(BaseExceptionGroup("wide", [ValueError(number) for number in range(width)]))


@pytest.mark.parametrize("width", [2, 5, 20, 200])
def test_what_several_members_share_is_shown_in_the_same_place(width: int) -> None:
    shared = raised(KeyError("shared"), [recursion(1)])
    members: list[BaseException] = [ValueError(number) for number in range(width)]
    for member in members:
        member.__cause__ = shared
    check(BaseExceptionGroup("sharing", members))
    # A member that is not shown takes the shared one from those that are.
    first_and_last = BaseExceptionGroup(
        "sharing", [members[0], *map(TypeError, range(width)), members[-1]]
    )
    check(first_and_last)
    check(BaseExceptionGroup("itself", [shared, members[0], shared]))


@pytest.mark.parametrize("depth", [2, 3, 4, 5, 9])
@pytest.mark.parametrize("change", ["", "no lines"])
def test_frames_without_a_line_are_never_folded(depth: int, change: str) -> None:
    source = "def run(left):\n    return run(left - 1) if left else [][0]\n"
    run: Any = compiled(source, "<string>", shown=True, change=change)
    exc = raised(IndexError(), [lambda _: run(depth)])
    assert ("Previous line repeated" in stacktrace.render(exc, max_bytes=AMPLE)) == (
        depth > 2 and not (change and sys.version_info >= (3, 11))
    )
    check(exc)


@settings(deadline=None)
@given(exc=errors(), budget=st.integers(1, 4000), warm=st.booleans())
@example(exc=ValueError("x" * 100), budget=1, warm=True)
def test_a_small_budget_cuts_the_middle_of_that_text(
    exc: BaseException, budget: int, warm: bool
) -> None:
    whole = stacktrace.render(exc, max_bytes=AMPLE)
    if not warm:
        stacktrace._frames.clear()
    rendered = stacktrace.render(exc, max_bytes=budget)
    assert len(rendered.encode("utf-8")) <= budget
    assert uncounted(rendered) == uncounted(text.cut(whole, budget))


def uncounted(rendered: str) -> str:
    # What is sure to be cut is not made first: the count of its bytes may be rough.
    return re.sub(r"\[\.\.\. \d+ bytes", "[... some bytes", rendered)
