"""Whatever the exception: the very text of the standard library."""

from __future__ import annotations

import re
import sys
import traceback
from types import TracebackType

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from everylayer import stacktrace, text
from everylayer.rendering.frames import FrameCache
from shapes import EXCEPTIONS, errors, over_lines, raised, recursion

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
