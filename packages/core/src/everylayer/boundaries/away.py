"""A call that is made in another process, for the span of this one's request."""

from __future__ import annotations

import functools
import pickle
import sys
from collections.abc import Callable
from contextvars import Context, copy_context
from multiprocessing.reduction import ForkingPickler
from types import FunctionType
from typing import Any, ParamSpec, TypeVar

from ..layers import name_of
from . import crossing
from .crossing import Origin
from .failure import Failure
from .stubs import tblib_or_explain
from .tree import carry

P = ParamSpec("P")
T = TypeVar("T")


class Away:
    """A function to be called within its origin's span context; it gives a `Failure`, not raise.

    Args:
        func: what is called, as picklable as it must be anyway.
        origin: as `crossing.here` packed it; None runs it without a parent span.
    """

    __slots__ = ("func", "origin")

    def __init__(self, func: Callable[..., Any], origin: bytes | None) -> None:
        self.func = func
        self.origin = origin

    def __reduce__(self) -> Any:
        return Away, (self.func, self.origin)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return copy_context().run(_within, self.func, self.origin, args, kwargs)


class _Arrived(Away):
    """One that was sent here."""

    __slots__ = ()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # The loop of a pool's worker, which calls everything in what its initializer has left.
        if sys._getframe(1).f_globals.get("__name__") == _POOL:
            return call(self.origin, self.func, args, kwargs)
        return super().__call__(*args, **kwargs)


_POOL = "multiprocessing.pool"


def _reduced(away: Away) -> Any:
    if type(away.func) is FunctionType:
        return _arrived, (_packed(away.func, away.origin),)
    return away.__reduce__()


# Of the calls of one request to find the function by its name once, on both sides. For the pickler
# of `multiprocessing`, which pickles functions by name.
ForkingPickler.register(Away, _reduced)


@functools.lru_cache(maxsize=64)
def _packed(func: Any, origin: bytes | None) -> bytes:
    return pickle.dumps((func, origin))


def _arrived(data: bytes) -> Away:
    return _unpacked(data)


# What it is pickled by: a module within a package takes twice as long to be found.
_arrived.__module__ = __name__.partition(".")[0]


@functools.lru_cache(maxsize=64)
def _unpacked(data: bytes) -> Away:
    func, origin = pickle.loads(data)
    return _Arrived(func, origin)


def call(
    origin: bytes | None, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Return what `func` does for the span of `origin`, or its `Failure`: in a pool's worker."""
    # A copy is cheaper than to enter the context and to leave it, and what the work sets is gone.
    own = _prepared(origin).copy()
    try:
        return own.run(func, *args, **kwargs)
    except BaseException as exc:
        return own.run(_failure, exc, func, origin)


# A worker's own context is what its initializer has made of it.
@functools.lru_cache(maxsize=64)
def _prepared(origin: bytes | None) -> Context:
    made = copy_context()
    made.run(crossing.enter, origin)
    return made


def _failure(exc: BaseException, func: Callable[..., Any], origin: bytes | None) -> Failure:
    found = None if origin is None else Origin.unpacked(origin)
    return Failure(carry(exc, skip=1), found, label_of(func))


def _within(
    func: Callable[..., Any], origin: bytes | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    crossing.enter(origin)
    try:
        return func(*args, **kwargs)
    except BaseException as exc:
        return _failure(exc, func, origin)


def carried(func: Callable[P, T]) -> Callable[P, T | Failure]:
    """Wrap `func` for `multiprocessing.Pool`, within the span that is current now.

    It returns a `Failure` where `func` raises; show its results to `uncarried`:

        uncarried(pool.apply_async(carried(work), (1,)).get())
        map(uncarried, pool.imap(carried(work), items))

    A failure that nobody shows to `uncarried` is recorded when it is let go of.

    Raises:
        ModuleNotFoundError: tblib is missing.
    """
    tblib_or_explain()
    return Away(func, crossing.here().data)


def uncarried(value: T | Failure) -> T:
    """Return a result; raise the error that a `carried` function ended with."""
    if isinstance(value, Failure):
        error = value.error()
        try:
            raise error
        finally:
            # No cycle through this frame.
            del error, value
    return value


def label_of(func: Any) -> str:
    """Return the name of the layer that a function run elsewhere is."""
    while isinstance(func, functools.partial):
        # A chunk of `map` is handed to a helper, with the function.
        chunk = func.func.__module__.startswith(("concurrent.", "multiprocessing."))
        func = func.args[0] if chunk and func.args else func.func
    return name_of(func)
