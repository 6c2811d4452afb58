"""`concurrent.futures.ProcessPoolExecutor` whose errors come back whole, and are recorded."""

from __future__ import annotations

import concurrent.futures
import pickle
from collections.abc import Callable
from concurrent.futures import process
from functools import partial
from typing import Any, ParamSpec, TypeVar

from ..forks import ForkLock
from .away import call
from .crossing import here
from .process_future import watched
from .restored import restore
from .stubs import tblib_or_explain
from .tree import carry

P = ParamSpec("P")
T = TypeVar("T")

# None of a Python that does it in another way: then the function goes with each call.
_SafeQueue: Any = getattr(process, "_SafeQueue", object)
_get: Any = getattr(_SafeQueue, "get", None)
_CROSSING = "_everylayer"

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
        self._carries = False
        telling = _Initializer(initializer) if callable(initializer) else None
        super().__init__(max_workers, mp_context, telling or initializer, initargs, **more)
        queue: Any = getattr(self, "_call_queue", None)
        if type(queue) is _SafeQueue and _is_known():
            queue.__class__ = _Calls
            self._carries = True
        # That of Python's choice, which is not always the default one. No worker has begun yet.
        made: Any = getattr(self, "_mp_context", mp_context)
        if telling is not None and made is not None:
            self._told = telling.told = _Told(made.SimpleQueue(), made.Lock())

    def submit(
        self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> concurrent.futures.Future[T]:
        crosses = here()
        submit: Any = concurrent.futures.ProcessPoolExecutor.submit
        if self._carries:
            kwargs[_CROSSING] = crosses.data
            future: Any = submit(self, fn, *args, **kwargs)
        else:
            future = submit(self, partial(call, fn, crosses.data), *args, **kwargs)
        found: concurrent.futures.Future[T] = watched(future, crosses, fn, self._told)
        return found


def _is_known() -> bool:
    """Tell whether this Python's workers take calls from their queue as `_Calls` gives them."""
    try:
        item: Any = process._CallItem(0, len, (), {_CROSSING: b""})
        item.fn = item.fn
        taken: Any = process._process_worker
        return bool(item.kwargs) and callable(_get) and "get" in taken.__code__.co_names
    except Exception:
        return False


class _Calls(_SafeQueue):  # type: ignore[misc]
    """Finds in a worker what crosses with a call, which is one more of its arguments.

    A function more would be pickled by its name, and looked up again, with each call.
    """

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        item = _get(self, block, timeout)
        if item is not None and _CROSSING in item.kwargs:
            item.fn = partial(call, item.fn, item.kwargs.pop(_CROSSING))
        return item


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


class _Initializer:
    told: _Told | None = None

    def __init__(self, func: Callable[..., object]) -> None:
        self._func = func

    def __call__(self, *args: Any) -> None:
        try:
            self._func(*args)
        except BaseException as exc:
            if self.told is not None:
                self.told.tell(exc)
            raise
