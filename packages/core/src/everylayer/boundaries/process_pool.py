"""`concurrent.futures.ProcessPoolExecutor` whose errors come back whole, and are recorded."""

from __future__ import annotations

import concurrent.futures
import pickle
from collections.abc import Callable
from concurrent.futures import process
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any, ParamSpec, TypeVar

from opentelemetry.trace import Span

from ..failsafe import contained
from ..forks import ForkLock
from .away import call, label_of
from .crossing import Crossing, here
from .failure import Failure, sight
from .restored import restore
from .stubs import tblib_or_explain
from .tree import carry

P = ParamSpec("P")
T = TypeVar("T")

# None of a Python that does it in another way: then the function goes with each call.
_SafeQueue: Any = getattr(process, "_SafeQueue", object)
_get: Any = getattr(_SafeQueue, "get", None)
_result: Any = concurrent.futures.Future.result
_CROSSING = "_everylayer"

# The first failing worker must get it into a pipe that nobody empties before it has ended.
_MAX_PIPE = 60_000


class ProcessPoolExecutor(concurrent.futures.ProcessPoolExecutor):
    """Runs work in other processes, within the span of the request that submits it.

    What the work raises arrives with its causes, contexts, members, notes and tracebacks, and is
    recorded in the trace of that request once, whether or not anybody asks the future.

    Takes the arguments of `concurrent.futures.ProcessPoolExecutor`.

    Raises:
        ModuleNotFoundError: tblib is missing.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: Any = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        **more: Any,
    ) -> None:
        tblib_or_explain()
        self._told: Any = None
        self._carries = False
        super().__init__(max_workers, mp_context, initializer, initargs, **more)
        queue: Any = getattr(self, "_call_queue", None)
        if type(queue) is _SafeQueue:
            queue.__class__ = _Calls
            self._carries = True
        if initializer is not None:
            made: Any = self._mp_context
            self._told = _Told(made.SimpleQueue(), made.Lock())
            self._initializer = _Initializer(initializer, self._told)

    def submit(
        self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> concurrent.futures.Future[T]:
        found = here()
        submit: Any = concurrent.futures.ProcessPoolExecutor.submit
        if self._carries:
            kwargs[_CROSSING] = found.data
            future: Any = submit(self, fn, *args, **kwargs)
        else:
            future = submit(self, partial(call, fn, found.data), *args, **kwargs)
        # Whatever has happened to it since, nobody has asked it yet.
        future.__class__ = _Future
        future._everylayer = (found, fn, self._told)
        future.add_done_callback(_settled)
        return future  # type: ignore[no-any-return]


class _Calls(_SafeQueue):  # type: ignore[misc]
    """Finds in a worker what crosses with a call, which is one more of its arguments.

    A function more would be pickled by its name, and looked up again, with each call.
    """

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        item = _get(self, block, timeout)
        if item is not None and _CROSSING in item.kwargs:
            item.fn = partial(call, item.fn, item.kwargs.pop(_CROSSING))
        return item


class _Future(concurrent.futures.Future[Any]):
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


def _settled(future: Any) -> None:
    """Record an error that nobody may ever ask for."""
    # Whoever waits for the result waits for this, too: its own fields, without its lock.
    found, error = future._result, future._exception
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


_asking = ForkLock()


class _Told:
    """Where the first initializer that fails leaves its error."""

    def __init__(self, queue: Any, first: Any) -> None:
        self._queue = queue
        self._first = first

    def tell(self, exc: BaseException) -> None:
        if not self._first.acquire(block=False):
            return
        found = carry(exc, skip=1, max_nodes=8, max_bytes=16_384)
        if len(pickle.dumps(found)) > _MAX_PIPE:
            found = found._replace(nodes=(found.nodes[0]._replace(cause=-1, context=-1),))
        if len(pickle.dumps(found)) <= _MAX_PIPE:
            self._queue.put(found)

    def reason(self) -> BaseException | None:
        # Of many futures that ask at once, the error of a broken pool is the same object. One that
        # came second would wait for ever for what the first one has taken.
        with _asking:
            if self._queue.empty():
                return None
            found = self._queue.get()
        return restore(found)


class _Initializer:
    def __init__(self, func: Callable[..., object], told: _Told) -> None:
        self._func = func
        self._told = told

    def __call__(self, *args: Any) -> None:
        try:
            self._func(*args)
        except BaseException as exc:
            self._told.tell(exc)
            raise
