"""Coroutines and generators, run step by step in a context that is not their caller's."""

from __future__ import annotations

import contextvars
import types
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any, TypeVar

from ..chain import drop_frame

T = TypeVar("T")
Y = TypeVar("Y")
S = TypeVar("S")
Failed = Callable[[BaseException], None]


def each(
    inner: Generator[Y, S, T] | Coroutine[Y, S, T],
    context: contextvars.Context,
    failed: Failed | None = None,
) -> Generator[Y, S, T]:
    """Delegate to `inner` as `yield from` does, with each of its steps in `context`.

    Args:
        inner: a generator, a coroutine, or what else has their methods.
        context: entered for each step, so nobody else may be in it at that time.
        failed: told of what `inner` raises.
    """
    step: Any = inner.send
    value: Any = None
    while True:
        try:
            result = context.run(step, value)
        except StopIteration as done:
            returned: T = done.value
            return returned
        except BaseException as exc:
            if failed is not None:
                failed(exc)
            drop_frame(exc)
            raise
        try:
            value = yield result
            step = inner.send
        except GeneratorExit:
            try:
                context.run(inner.close)
            except BaseException as exc:
                if failed is not None:
                    failed(exc)
                drop_frame(exc)
                raise
            raise
        except BaseException as exc:
            drop_frame(exc)
            step, value = inner.throw, exc


# Awaits its first argument.
awaited: Any = types.coroutine(each)


# Each of these returns a function of the kind of `fn`, whose calls have a copy of `context` each.
# `failed` is told of what their bodies raise.


def awaiting(fn: Callable[..., Any], context: contextvars.Context, failed: Failed) -> Any:
    """Return a coroutine function that does what `fn`, another one, does."""

    async def coroutine(*args: Any, **kwargs: Any) -> Any:
        own = context.copy()
        try:
            return await awaited(own.run(fn, *args, **kwargs), own, failed)
        except BaseException as exc:
            drop_frame(exc)
            raise

    return coroutine


def yielding(fn: Callable[..., Any], context: contextvars.Context, failed: Failed) -> Any:
    """Return a generator function that does what `fn`, another one, does."""

    def generator(*args: Any, **kwargs: Any) -> Any:
        own = context.copy()
        try:
            return (yield from each(own.run(fn, *args, **kwargs), own, failed))
        except BaseException as exc:
            drop_frame(exc)
            raise

    return generator


def iterating(fn: Callable[..., Any], context: contextvars.Context, failed: Failed) -> Any:
    """Return an async generator function that does what `fn`, another one, does."""

    async def iterated(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        own = context.copy()
        inner = own.run(fn, *args, **kwargs)
        step: Any = inner.asend(None)
        try:
            while True:
                try:
                    result = await awaited(step, own)
                except StopAsyncIteration:
                    return
                except BaseException as exc:
                    failed(exc)
                    drop_frame(exc)
                    raise
                try:
                    step = inner.asend((yield result))
                except GeneratorExit:
                    raise
                except BaseException as exc:
                    drop_frame(exc)
                    step = inner.athrow(exc)
        finally:
            await awaited(inner.aclose(), own)

    return iterated
