"""Futures of thread pools that nobody asks: what failed is on the trace of its request."""

from __future__ import annotations

import functools
import sys
from concurrent.futures import Future
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import INVALID_SPAN, Span

from ..chain import drop_frame
from ..failsafe import contained
from . import work
from .aftermath import hand_over
from .patch import Switch

_SPAN = "_everylayer_span"
_PHASE = "thread"


def submit(before: Any, switch: Switch) -> Any:
    """Return what stands for `ThreadPoolExecutor.submit`."""

    def replaced(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        future = before(self, fn, *args, **kwargs)
        if switch.on:
            _watch(future, fn)
        return future

    return replaced


class _Unasked(Future[Any]):
    """A future until somebody asks it; that it is watched shows nowhere else."""

    def result(self, timeout: float | None = None) -> Any:
        try:
            found = Future.result(self, timeout)
        except BaseException as exc:
            drop_frame(exc)
            _asked(self)
            raise
        _let_go(self)
        return found

    def exception(self, timeout: float | None = None) -> BaseException | None:
        span = getattr(self, _SPAN, INVALID_SPAN)
        try:
            found = Future.exception(self, timeout)
        except BaseException as exc:
            drop_frame(exc)
            raise
        finally:
            _asked(self)
        if found is not None and sys._getframe(1).f_globals.get("__name__") == "asyncio.futures":
            # Whether anybody awaits asyncio's own future, this one cannot tell.
            work.failed(found, span, work.starting(found), _PHASE)
        return found

    def __del__(self) -> None:
        _dropped(self)


_Unasked.__name__ = _Unasked.__qualname__ = "Future"


@contained
def _watch(future: Any, fn: Any) -> None:
    # A pool of somebody else's may give futures of its own.
    if type(future) is Future and not _is_awaited(fn):
        span = trace.get_current_span()
        if span is not INVALID_SPAN:
            # Not by `vars`, which gives the future a dictionary: Python reads it faster without.
            setattr(future, _SPAN, span)
            future.__class__ = _Unasked


def _is_awaited(fn: Any) -> bool:
    """Tell whether asgiref runs a function here: what that raises crosses the layer that awaits."""
    while type(fn) is functools.partial:
        fn = fn.func
    return getattr(fn, "__module__", None) == "asgiref.sync"


@contained
def _asked(future: Any) -> None:
    if future.done():
        _let_go(future)


@contained
def _let_go(future: Any) -> None:
    cls: Any = type(future)
    if cls is _Unasked:
        future.__class__ = Future
        try:
            delattr(future, _SPAN)
        except AttributeError:
            return  # Another thread has asked as well.


@contained
def _dropped(future: Any) -> None:
    exc = getattr(future, "_exception", None)
    span: Span = getattr(future, _SPAN, INVALID_SPAN)
    if exc is not None and span is not INVALID_SPAN:
        hand_over(work.forgotten, exc, span, _PHASE)
