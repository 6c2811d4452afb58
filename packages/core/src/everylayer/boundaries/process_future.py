"""What a process pool's call ends with, on its way to the future of whoever submitted it."""

from __future__ import annotations

import concurrent.futures
import functools
from collections.abc import Mapping
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from ..failsafe import contained
from .away import label_of
from .crossing import Crossing
from .failure import Failure, asked_for, sight
from .listening import KEPT, Listening, listening


class Ending:
    """Stands in a pool for a future: hands it a result as it is, and an error once it is recorded.

    The future itself is the standard library's, and none of its own code is in the way of a result.

    Args:
        future: nobody else gives it a result or an error.
        crosses: what the work was submitted in.
        func: what was submitted.
        told: says why a pool broke, None without an initializer.
    """

    __slots__ = ("_crosses", "_func", "_future", "_told")

    def __init__(self, future: Any, crosses: Crossing, func: Any, told: Any) -> None:
        self._future = future
        self._crosses = crosses
        self._func = func
        self._told = told

    def __getattr__(self, name: str) -> Any:
        return getattr(self._future, name)

    def set_running_or_notify_cancel(self) -> Any:
        return self._future.set_running_or_notify_cancel()

    def set_result(self, result: Any) -> None:
        if type(result) is not Failure:
            self._future.set_result(result)
            return
        error = _made(result)
        if error is None:
            error = RuntimeError(f"an error of {result.label}, which cannot be made again here")
        self._fail(error, result.carried.sensitive)

    def set_exception(self, error: BaseException) -> None:
        _explain(error, self._told)
        self._fail(error, {})

    def _fail(self, error: BaseException, sensitive: Mapping[str, str]) -> None:
        # Before anybody can ask: who does finds it recorded.
        self._record(error, sensitive)
        self._future.set_exception(error)

    @contained
    def _record(self, error: BaseException, sensitive: Mapping[str, str]) -> None:
        future, span = self._future, self._crosses.span
        if not future.running() and (future.done() or not future.set_running_or_notify_cancel()):
            return  # cancelled
        known = span.get_span_context().is_valid
        if known:
            label, tenant = label_of(self._func), self._crosses.tenant or ""
            sight(error, span, label, asked=False, sensitive=sensitive, tenant=tenant)
        # None without a request.
        future.__dict__[KEPT] = span if known else None
        have_listen(future)


@contained
def _made(failure: Failure) -> BaseException:
    return failure.taken()


class _Recorded(Listening):
    """One whose error is recorded; who asks for it has the last word on whether that is late."""

    def _asked(self, error: BaseException, reader: str) -> None:
        span = self.__dict__[KEPT]
        if span is not None:
            asked_for(error, span)
        try:
            if reader == "__get_result" and not error:
                # One that is false, as an empty collection is: taken for none there.
                raise error
        finally:
            # As the standard library does: no cycle through this frame.
            del error, self


@contained
def have_listen(future: Any) -> None:
    """Have a future that has failed listen, whatever class somebody may have given it since."""
    cls: Any = type(future)
    if KEPT in future.__dict__ and not issubclass(cls, (Listening, Following)):
        future.__class__ = listening(_Recorded, cls)


@contained
def _explain(error: BaseException, told: Any) -> None:
    """Say why the pool broke, if that was its initializer."""
    if told is not None and isinstance(error, BrokenProcessPool):
        reason = told.reason()
        if reason is not None and error.__cause__ is None:
            error.__cause__ = reason
            error.__suppress_context__ = True


class Following(concurrent.futures.Future[Any]):
    """Stands for a future of a pool that is laid out in another way."""

    def __init__(self, future: Any, crosses: Crossing, func: Any, told: Any) -> None:
        super().__init__()
        self._followed = future
        ending = Ending(self, crosses, func, told)
        future.add_done_callback(functools.partial(_ended, ending))

    def cancel(self) -> bool:
        cancelled: bool = self._followed.cancel()
        return cancelled

    def result(self, timeout: float | None = None) -> Any:
        self.exception(timeout)
        return super().result()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        error = super().exception(timeout)
        span = self.__dict__.get(KEPT)
        if error is not None and span is not None:
            asked_for(error, span)
        return error

    def running(self) -> bool:
        return bool(self._followed.running())

    def give_up(self) -> None:
        super().cancel()
        self.set_running_or_notify_cancel()


def _ended(ending: Ending, future: Any) -> None:
    if future.cancelled():
        ending.give_up()
        return
    error = future.exception()
    if error is None:
        ending.set_result(future.result())
    else:
        ending.set_exception(error)
