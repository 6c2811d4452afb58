"""Futures of thread pools that nobody asks: what failed is on the trace of its request."""

from __future__ import annotations

import os
import sys
from concurrent.futures import Future, thread
from types import FrameType
from typing import Any

from opentelemetry.trace import INVALID_SPAN, Span

from .. import spans
from ..chain import drop_frame
from ..failsafe import contained, count_failure
from ..fit import takes, warn_left_alone
from . import work
from .aftermath import hand_over
from .listening import KEPT, Listening, can_listen, listening
from .patch import Patch, Switch

_PHASE = "thread"
# What a pool keeps of each call until that is done.
_ITEM = "_WorkItem"
_PARAMETERS = "self future task" if sys.version_info >= (3, 14) else "self future fn args kwargs"


def patch() -> Patch | None:
    """Return what has the futures of thread pools watched, None where a pool is not known."""
    item = getattr(thread, _ITEM, None)
    if isinstance(item, type) and takes(vars(item).get("__init__"), _PARAMETERS) and can_listen():
        return Patch(item, "__init__", begin)
    missing = "what the futures of thread pools raise that nobody asks"
    warn_left_alone(f"{thread.__name__}.{_ITEM}", "Python", missing, "everylayer")
    return None


def begin(before: Any, switch: Switch) -> Any:
    """Return what stands for `_WorkItem.__init__`.

    With the same parameters: where one takes any, Python makes each item by a longer way.
    """
    if sys.version_info >= (3, 14):

        def replaced(self: Any, future: Any, task: Any) -> None:
            before(self, _watched(future) if switch.on else future, task)

    else:

        def replaced(self: Any, future: Any, fn: Any, args: Any, kwargs: Any) -> None:
            before(self, _watched(future) if switch.on else future, fn, args, kwargs)

    return replaced


def _watched(future: Any) -> Any:
    try:
        span = spans.current()
        return _Watched(future, span) if span is not None else future
    except Exception:  # noqa: BLE001 - as `contained` does, but for each call
        count_failure(f"{__name__}._watched")
        return future


class _Watched:
    """Stands for a future where the pool keeps the call; what becomes of that it hands on.

    The future itself is the standard library's, and none of our code is in the way of a result.

    Args:
        future: of the call.
        span: that the call was submitted in.
    """

    __slots__ = ("_future", "_span")

    def __init__(self, future: Any, span: Span) -> None:
        self._future = future
        self._span = span

    def __getattr__(self, name: str) -> Any:
        return getattr(self._future, name)

    def set_running_or_notify_cancel(self) -> Any:
        return self._future.set_running_or_notify_cancel()

    def set_result(self, result: Any) -> None:
        self._future.set_result(result)

    def set_exception(self, error: BaseException) -> None:
        # Before anybody can ask: who waits already is going to ask one that listens.
        _failed(self._future, self._span, error)
        self._future.set_exception(error)


@contained
def _failed(future: Any, span: Span, error: BaseException) -> None:
    # A pool of somebody else's may give futures of its own.
    if type(future) is Future and not future.done() and not _is_awaited(error):
        future.__dict__[KEPT] = span, os.getpid()
        future.__class__ = listening(_Unasked, Future)


def _is_awaited(error: BaseException) -> bool:
    """Tell whether asgiref ran it: what that raises crosses the layer that awaits it."""
    frame = work.outermost(error)
    return frame is not None and _module(frame) == "asgiref.sync"


class _Unasked(Listening):
    """A future that has failed, until somebody asks it; then it is the standard library's again."""

    def exception(self, timeout: float | None = None) -> BaseException | None:
        span = _span_of(self)
        try:
            found = Future.exception(self, timeout)
        except BaseException as exc:
            drop_frame(exc)
            raise
        if found is not None and _module(sys._getframe(1)) == "asyncio.futures":
            _handed_on(found, span)
        return found

    def _asked(self, error: BaseException, reader: str) -> None:
        span = _span_of(self)
        _let_go(self)
        # How asyncio asks in later Pythons; nothing is locked then.
        if reader == "_get_snapshot":
            _handed_on(error, span)

    def __del__(self) -> None:
        _dropped(self)


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__"))


def _span_of(future: Future[Any]) -> Span:
    span: Span = future.__dict__.get(KEPT, (INVALID_SPAN,))[0]
    return span


def _handed_on(error: BaseException, span: Span) -> None:
    """Show what asyncio takes: whether anybody awaits its own future, this one cannot tell."""
    work.failed(error, span, work.starting(error), _PHASE)


@contained
def _let_go(future: Any) -> None:
    cls: Any = type(future)
    if issubclass(cls, _Unasked):
        future.__class__ = Future
        # Another thread may have asked as well.
        future.__dict__.pop(KEPT, None)


@contained
def _dropped(future: Any) -> None:
    error = future.__dict__.get("_exception")
    span, process = future.__dict__.get(KEPT, (INVALID_SPAN, 0))
    # A forked child has a copy; the error is its parent's to tell.
    if error is not None and process == os.getpid():
        hand_over(work.forgotten, error, span, _PHASE)
