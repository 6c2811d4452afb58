"""`guard`: what is raised in a block or a function is on the request's trace, whatever follows."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from opentelemetry import trace
from opentelemetry.trace import Span

from .. import text
from ..chain import drop_frame
from ..layers import WORK, Layer
from . import aftermath, work

P = ParamSpec("P")
R = TypeVar("R")

_PHASE = "guarded"
_MAX_NAME = 200


class Guard:
    """Shows the request what is raised within; keeps nothing, so one serves many at a time."""

    __slots__ = ("_layer",)

    def __init__(self, layer: str | None = None) -> None:
        self._layer = (
            Layer(text.one_line(str(layer), _MAX_NAME), WORK) if layer is not None else None
        )

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if exc is not None:
            self._failed(exc, self._layer or work.in_frame(sys._getframe(1)))

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if exc is not None:
            self._failed(exc, self._layer or work.in_frame(sys._getframe(1)))

    def __call__(self, fn: Callable[P, R]) -> Callable[P, R]:
        """Return `fn` with a guard around each call, or around the body of what a call makes."""
        layer = self._layer or work.called(fn)
        show = self._failed
        wrapped: Any
        if inspect.iscoroutinefunction(fn):

            async def coroutine(*args: P.args, **kwargs: P.kwargs) -> Any:
                try:
                    return await fn(*args, **kwargs)
                except BaseException as exc:
                    show(exc, layer)
                    drop_frame(exc)
                    raise

            wrapped = coroutine
        elif inspect.isgeneratorfunction(fn):

            def generator(*args: P.args, **kwargs: P.kwargs) -> Any:
                span = trace.get_current_span()
                try:
                    return (yield from fn(*args, **kwargs))
                except BaseException as exc:
                    # The collector closes it within whatever request it interrupts.
                    show(exc, layer, span if aftermath.is_of_a_close(exc) else None)
                    drop_frame(exc)
                    raise

            wrapped = generator
        elif inspect.isasyncgenfunction(fn):
            raise TypeError(
                "everylayer.guard() does not wrap an async generator function: "
                "put `with everylayer.guard():` inside it"
            )
        else:

            def function(*args: P.args, **kwargs: P.kwargs) -> Any:
                try:
                    return fn(*args, **kwargs)
                except BaseException as exc:
                    show(exc, layer)
                    drop_frame(exc)
                    raise

            wrapped = function
        found: Callable[P, R] = functools.update_wrapper(wrapped, fn)
        return found

    def _failed(self, exc: BaseException, layer: Layer | None, span: Span | None = None) -> None:
        work.failed(exc, span or trace.get_current_span(), layer, _PHASE)


def guard(layer: str | None = None) -> Guard:
    """Put what is raised in a block, or in a function, on the request's trace, and raise it.

    For code whose errors are caught, or lost, before they reach a layer of the chain:
    `with everylayer.guard(): ...`, `async with`, or `@everylayer.guard(layer="billing")`.

    Args:
        layer: what to call the code; by default the function that it is or stands in.
    """
    return Guard(layer)
