"""A thread pool whose work belongs to the request that has submitted it."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from concurrent import futures
from contextvars import copy_context
from typing import Any

from . import work
from .work import P, R

_PHASE = "thread"


class ThreadPoolExecutor(futures.ThreadPoolExecutor):
    """`concurrent.futures.ThreadPoolExecutor`: what is submitted runs in its caller's context.

    What it raises is on the trace of that request, once, whether or not anybody asks the future.
    An initializer that fails is on the trace of the request whose work has started its thread.
    """

    _starter: contextvars.Context | None = None

    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: str = "",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
    ) -> None:
        if callable(initializer):
            self._starter = copy_context()
            initializer, initargs = self._initialize, (initializer, *initargs)
        super().__init__(max_workers, thread_name_prefix, initializer, initargs)

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> futures.Future[R]:
        """Submit `fn(*args, **kwargs)`, to be run in a copy of the current context."""
        context = copy_context()
        if self._starter is not None:
            self._starter = context
        # Looked up late, for whoever patches it, and without `super()`: this is done for each call.
        submit: Any = futures.ThreadPoolExecutor.submit
        found: futures.Future[R] = submit(self, work.run, context, _PHASE, fn, *args, **kwargs)
        return found

    def _initialize(self, initializer: Callable[..., object], *args: Any) -> None:
        starter = self._starter
        assert starter is not None
        try:
            initializer(*args)
        except BaseException as exc:
            # It runs where Python runs it, in the thread's own context.
            work.failed_in(starter, exc, work.called(initializer), "initializer")
            raise
