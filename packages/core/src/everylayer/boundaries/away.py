"""A call that is made in another process, for the span of this one's request."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from opentelemetry import context, trace

from ..layers import name_of
from .failure import Failure, Origin, origin_of
from .stubs import tblib_or_explain
from .tree import carry

P = ParamSpec("P")
T = TypeVar("T")


class Away:
    """A function to be called within its origin's span context; it gives a `Failure`, not raise.

    Args:
        func: what is called, as picklable as it must be anyway.
        origin: None runs it without a parent span.
    """

    __slots__ = ("func", "origin")

    def __init__(self, func: Callable[..., Any], origin: Any) -> None:
        self.func = func
        self.origin = origin

    def __reduce__(self) -> Any:
        return Away, (self.func, plain(self.origin))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return call(self.func, self.origin, *args, **kwargs)


def call(func: Callable[..., Any], origin: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Return what `func` does for the span of `origin`, or its `Failure`."""
    token = context.attach(context_of(origin))
    try:
        return func(*args, **kwargs)
    except BaseException as exc:
        found = None if origin is None else Origin(*origin)
        return Failure(carry(exc, skip=1), found, label_of(func))
    finally:
        context.detach(token)


def plain(origin: Origin | None) -> tuple[Any, ...] | None:
    """Return `origin` without its class, which would be looked up by name with each call."""
    return None if origin is None else tuple(origin)


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
    return Away(func, here())


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


# A request that hands over one piece of work often hands over more.
@functools.lru_cache(maxsize=64)
def context_of(origin: tuple[Any, ...] | None) -> context.Context:
    """Return a context with the origin's span alone.

    Not the worker's own: a fork has that of whichever request began it.
    """
    empty = context.Context()
    return empty if origin is None else trace.set_span_in_context(Origin(*origin).span(), empty)


def here() -> Origin | None:
    """Return what crosses of the current span."""
    return origin_of(trace.get_current_span())


def label_of(func: Any) -> str:
    """Return the name of the layer that a function run elsewhere is."""
    while isinstance(func, functools.partial):
        # A chunk of `map` is handed to a helper, with the function.
        chunk = func.func.__module__.startswith(("concurrent.", "multiprocessing."))
        func = func.args[0] if chunk and func.args else func.func
    return name_of(func)
