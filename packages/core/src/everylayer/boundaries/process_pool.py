"""`concurrent.futures.ProcessPoolExecutor` whose errors come back whole, and are recorded."""

from __future__ import annotations

import concurrent.futures
import pickle
import weakref
from collections.abc import Callable
from concurrent.futures import process
from typing import Any, ParamSpec, TypeVar

from ..forks import ForkLock
from .away import call
from .crossing import here
from .listening import can_listen
from .process_future import Ending, Following, have_listen
from .restored import restore
from .stubs import tblib_or_explain
from .tree import carry

P = ParamSpec("P")
T = TypeVar("T")

_SafeQueue: Any = getattr(process, "_SafeQueue", None)

# The first failing worker must get it into a pipe that nobody empties before it has ended.
_MAX_PIPE = 60_000
_PATIENCE = 5.0


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
        self._told: _Told | None = None
        start: Any = initializer
        if initializer is None or callable(initializer):
            start = _Start(initializer)
        super().__init__(max_workers, mp_context, start, initargs, **more)
        # That of Python's choice, which is not always the default one. No worker has begun yet.
        made: Any = getattr(self, "_mp_context", mp_context)
        if initializer is not None and made is not None:
            self._told = start.told = _Told(made.SimpleQueue(), made.Lock())
        queue: Any = getattr(self, "_call_queue", None)
        waiting: Any = getattr(self, "_pending_work_items", None)
        self._carries = (
            type(queue) is _SafeQueue
            and type(waiting) is dict
            and getattr(queue, "pending_work_items", None) is waiting
            and _is_known()
            and can_listen()
        )
        if self._carries:
            start.queue = weakref.ref(queue)
            self._pending_work_items = queue.pending_work_items = _Waiting(self._told)

    def submit(
        self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> concurrent.futures.Future[T]:
        # Looked up late, for whoever patches it, and without `super()`: this is done for each call.
        submit: Any = concurrent.futures.ProcessPoolExecutor.submit
        future: Any
        if not self._carries:
            crosses = here()
            future = submit(self, call, crosses.data, fn, args, kwargs)
            return Following(future, crosses, fn, self._told)
        future = submit(self, fn, *args, **kwargs)
        if type(future) is not concurrent.futures.Future:
            have_listen(future)
        found: concurrent.futures.Future[T] = future
        return found


def _is_known() -> bool:
    """Tell whether this Python deals with calls as `_Waiting` and `_Start` expect it."""
    try:
        made: Any = process
        work = made._WorkItem(None, len, (), {})
        item = made._CallItem(0, (b"", work.fn), work.args, work.kwargs)
        work.future, item.fn = work.future, item.fn[1]
        code = made._process_worker.__code__
        return "get" in code.co_names and {"call_queue", "initializer"} <= {*code.co_varnames}
    except Exception:
        return False


class _Waiting(dict[Any, Any]):
    """The calls of a pool that have not ended, each from when it is submitted.

    What crosses goes with the function: a function more would be pickled by its name, and looked up
    again, with each call.
    """

    __slots__ = ("_told",)

    def __init__(self, told: _Told | None) -> None:
        super().__init__()
        self._told = told

    def __setitem__(self, number: Any, call: Any) -> None:
        crosses, func = here(), call.fn
        call.future = Ending(call.future, crosses, func, self._told)
        call.fn = crosses.data, func
        _put(self, number, call)


_put = dict.__setitem__


class _Start:
    """Begins a worker: makes the calls of what it takes from its queue, and initializes it.

    Attributes:
        queue: returns it, None where the calls need nothing.
        told: where the initializer says why it failed.
    """

    def __init__(self, func: Callable[..., object] | None) -> None:
        self._func = func
        self.queue: Callable[[], Any] = lambda: None
        self.told: _Told | None = None

    def __reduce__(self) -> Any:
        # With the worker's own arguments, so that it is the same queue there.
        return _start, (self._func, self.queue(), self.told)

    def __call__(self, *args: Any) -> None:
        queue = self.queue()
        if queue is not None:
            # Of the instance: one of another class is slower to ask for anything.
            queue.get = _taking(queue.get)
        if self._func is None:
            return
        try:
            self._func(*args)
        except BaseException as exc:
            if self.told is not None:
                self.told.tell(exc)
            raise


def _start(func: Callable[..., object] | None, queue: Any, told: _Told | None) -> _Start:
    start = _Start(func)
    start.queue = lambda: queue
    start.told = told
    return start


_NONE: dict[str, Any] = {}


def _taking(get: Callable[[bool, float | None], Any]) -> Callable[..., Any]:
    def taking(block: bool = True, timeout: float | None = None) -> Any:
        item = get(block, timeout)
        if item is not None:
            origin, func = item.fn
            item.fn, item.args, item.kwargs = call, (origin, func, item.args, item.kwargs), _NONE
        return item

    return taking


_asking = ForkLock()


class _Told:
    """Where the first initializer that fails leaves its error; the others wait for that."""

    def __init__(self, queue: Any, first: Any) -> None:
        self._queue = queue
        self._first = first

    def tell(self, exc: BaseException) -> None:
        # The worker that ends first ends all of them, also one that is about to say why.
        if not self._first.acquire(timeout=_PATIENCE):
            return
        try:
            if self._queue.empty():
                self._put(exc)
        finally:
            self._first.release()

    def _put(self, exc: BaseException) -> None:
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
