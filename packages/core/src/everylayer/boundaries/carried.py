"""`propagate`: a callable that takes the context of the request with it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from ..chain import drop_frame
from . import steps
from .work import P, R, called, failed, run, span_in

_PHASE = "propagated"


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

    def show(exc: BaseException) -> None:
        failed(exc, span_in(context), called(fn), _PHASE)

    wrapped: Any
    if inspect.iscoroutinefunction(fn):

        async def coroutine(*args: P.args, **kwargs: P.kwargs) -> Any:
            copy = context.copy()
            try:
                return await steps.awaited(copy.run(fn, *args, **kwargs), copy, show)
            except BaseException as exc:
                drop_frame(exc)
                raise

        wrapped = coroutine
    elif inspect.isgeneratorfunction(fn):

        def generator(*args: P.args, **kwargs: P.kwargs) -> Any:
            copy = context.copy()
            return steps.each(copy.run(fn, *args, **kwargs), copy, show)

        wrapped = generator
    elif inspect.isasyncgenfunction(fn):

        def asynchronous(*args: P.args, **kwargs: P.kwargs) -> Any:
            copy = context.copy()
            return steps.iterated(copy.run(fn, *args, **kwargs), copy, show)

        wrapped = asynchronous
    else:

        def function(*args: P.args, **kwargs: P.kwargs) -> Any:
            return run(context.copy(), _PHASE, fn, *args, **kwargs)

        wrapped = function
    found: Callable[P, R] = functools.update_wrapper(wrapped, fn)
    return found
