"""The futures of a process pool, which tell an error that is asked for from a forgotten one."""

from __future__ import annotations

import concurrent.futures
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from opentelemetry.trace import Span

from ..failsafe import contained
from .away import label_of
from .crossing import Crossing
from .failure import Failure, sight

_STOCK = concurrent.futures.Future
_result: Any = _STOCK.result


class Future(concurrent.futures.Future[Any]):
    """A future whose result may be a `Failure`: then that is its exception."""

    _everylayer: tuple[Crossing, Any, Any]

    def result(self, timeout: float | None = None) -> Any:
        try:
            found = _result(self, timeout)
        except BaseException:
            # Also what only says that there is none yet, or never will be.
            if not self.done() or self.cancelled():
                raise
            error = self.exception()
            assert error is not None
        else:
            if type(found) is not Failure:
                return found
            error = found.error(self._everylayer[0].span)
        try:
            raise error
        finally:
            # As the standard library does: no cycle through this frame.
            del error, self

    def exception(self, timeout: float | None = None) -> BaseException | None:
        error = super().exception(timeout)
        if error is not None:
            _told_of(error, self)
            _show(error, self, asked=True)
            return error
        found = super().result()
        if type(found) is Failure:
            return found.error(self._everylayer[0].span)
        return None


class _Following(Future):
    """Stands for a future whose own class is to stay."""

    def __init__(self, future: Any) -> None:
        super().__init__()
        self._followed = future

    def cancel(self) -> bool:
        cancelled: bool = self._followed.cancel()
        return cancelled

    def running(self) -> bool:
        return bool(self._followed.running())

    def follow(self) -> None:
        self._followed.add_done_callback(self._ended)

    def _ended(self, future: Any) -> None:
        if future.cancelled():
            super().cancel()
            self.set_running_or_notify_cancel()
            return
        self.set_running_or_notify_cancel()
        error = future.exception()
        if error is not None:
            self.set_exception(error)
        else:
            self.set_result(future.result())


def watched(future: Any, here: Crossing, func: Any, told: Any) -> Any:
    """Return a future that records what `future` ends with.

    Args:
        future: of a pool, which nobody has asked yet, whatever has happened to it since.
        here: where the work was submitted.
        func: what was submitted.
        told: says why a pool broke, None without an initializer.
    """
    following: Any = None
    if type(future) is _STOCK:
        try:
            future.__class__ = Future
        except TypeError:
            following = _Following(future)  # of a Python whose futures are laid out in another way
    else:
        following = _Following(future)  # of somebody who has patched `submit`
    mine = future if following is None else following
    mine._everylayer = (here, func, told)
    mine.add_done_callback(_settled)
    if following is not None:
        following.follow()
    return mine


def _settled(future: Any) -> None:
    """Record an error that nobody may ever ask for."""
    # Whoever waits for the result waits for this, too: its own fields, without its lock.
    try:
        found, error = future._result, future._exception
    except AttributeError:
        if future.cancelled():
            return
        error = _STOCK.exception(future)
        found = None if error is not None else _result(future)
    if type(found) is Failure:
        _unasked(found, future._everylayer[0].span)
    elif error is not None:
        _told_of(error, future)
        _show(error, future, asked=False)


@contained
def _unasked(failure: Failure, span: Span) -> None:
    if span.get_span_context().is_valid:
        failure.unasked(span)


@contained
def _show(error: BaseException, future: Any, asked: bool) -> None:
    (span, whose, _), func, _ = future._everylayer
    if span.get_span_context().is_valid:
        sight(error, span, label_of(func), asked=asked, tenant=whose or "")


@contained
def _told_of(error: BaseException, future: Any) -> None:
    """Say why the pool broke, if that was its initializer."""
    told = future._everylayer[2]
    if told is not None and isinstance(error, BrokenProcessPool):
        reason = told.reason()
        if reason is not None and error.__cause__ is None:
            error.__cause__ = reason
            error.__suppress_context__ = True
