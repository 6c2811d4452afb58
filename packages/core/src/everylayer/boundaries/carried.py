"""`propagate`: a callable that takes the context of the request with it."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from contextvars import Context, copy_context
from types import FunctionType
from typing import Any

from ..chain import drop_frame
from . import steps
from .work import P, R, called, failed_in

_PHASE = "propagated"
# Compared here, once: that is as dear as to set an attribute.
_ANNOTATES_LATE, _HAS_PARAMETERS = sys.version_info >= (3, 14), sys.version_info >= (3, 12)
# Nearly all are plain functions, and asking `inspect` three times is dear.
_SPECIAL = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


def propagate(fn: Callable[P, R]) -> Callable[P, R]:
    """Return `fn` bound to the context of the caller: its span, its tenant, all context variables.

    Call it anywhere, as often as you like, also at the same time: in a thread, in another event
    loop, after the response. Each call has a copy of that context, as a task would; what it sets
    stays in there. What it raises is on the trace of the request, once, and goes on to the caller.

    Args:
        fn: a function, a coroutine function, or a generator function of either kind, whose body
            then runs in the context as well.
    """
    context = copy_context()
    wrapped: Any = None
    if type(fn) is not FunctionType or fn.__code__.co_flags & _SPECIAL:
        wrapped = _stepwise(fn, context)
    if wrapped is None:

        def function(*args: P.args, **kwargs: P.kwargs) -> Any:
            try:
                return context.copy().run(fn, *args, **kwargs)
            except BaseException as exc:
                failed_in(context, exc, called(fn), _PHASE)
                drop_frame(exc)
                raise

        wrapped = function
    if type(fn) is FunctionType:
        _dress(wrapped, fn)
    else:
        functools.update_wrapper(wrapped, fn)
    found: Callable[P, R] = wrapped
    return found


def _stepwise(fn: Any, context: Context) -> Any:
    """Return what stands for `fn` if its body runs in steps, else None."""

    def show(exc: BaseException) -> None:
        failed_in(context, exc, called(fn), _PHASE)

    if inspect.iscoroutinefunction(fn):
        return steps.awaiting(fn, context, show)
    if inspect.isgeneratorfunction(fn):
        return steps.yielding(fn, context, show)
    return steps.iterating(fn, context, show) if inspect.isasyncgenfunction(fn) else None


def _dress(wrapped: Any, fn: Any) -> None:
    """Do what `functools.update_wrapper` does, which looks everything up by name: twice as dear."""
    wrapped.__module__ = fn.__module__
    wrapped.__name__ = fn.__name__
    wrapped.__qualname__ = fn.__qualname__
    wrapped.__doc__ = fn.__doc__
    if _ANNOTATES_LATE:
        wrapped.__annotate__ = fn.__annotate__
    else:
        wrapped.__annotations__ = fn.__annotations__
    if _HAS_PARAMETERS and fn.__type_params__:
        wrapped.__type_params__ = fn.__type_params__
    if fn.__dict__:
        wrapped.__dict__.update(fn.__dict__)
    wrapped.__wrapped__ = fn
