"""What a layer does, once for all frameworks and for the model: they differ in what stands around.

Where a framework is synchronous nothing here suspends, and `at_once` runs it by a plain call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from .faults import make
from .grammar import Step

R = TypeVar("R")


def never() -> bool:
    """Tell that no response has started: layers that return theirs can always return another."""
    return False


async def act(
    step: Step,
    tag: str,
    proceed: Callable[[], Awaitable[R]],
    answer: Callable[[int], Awaitable[R]],
    started: Callable[[], bool] = never,
) -> R | None:
    """Be the body of a layer.

    Args:
        step: the layer.
        tag: names it in what it raises.
        proceed: runs the rest of the chain.
        answer: gives a response of its own with this status.
        started: tells whether a response is on its way already, so that no other can be given.
    """
    does = step.does
    if does == "pass":
        return await proceed()
    if does == "before":
        raise make(step.fault, tag)
    if does == "after":
        await proceed()
        raise make(step.fault, tag)
    if does == "retry":
        try:
            return await proceed()
        except Exception:
            if started():
                raise
        return await proceed()
    if does == "swallow_out":
        try:
            return await proceed()
        except Exception:
            failed = True
        assert failed
        return None if started() else await answer(step.status)
    return await _catching(step, tag, proceed, answer, started)


async def _catching(
    step: Step,
    tag: str,
    proceed: Callable[[], Awaitable[R]],
    answer: Callable[[int], Awaitable[R]],
    started: Callable[[], bool],
) -> R | None:
    try:
        return await proceed()
    except Exception as exc:
        match step.does:
            case "swallow":
                return None if started() else await answer(step.status)
            case "reraise":
                raise exc
            case "from":
                raise make(step.fault, tag) from exc
            case "none":
                raise make(step.fault, tag) from None
            case "implicit":
                raise make(step.fault, tag)  # noqa: B904 - the context alone links them
            case "mutate":
                exc.args = (f"mutated by {tag}",)
            case "retry_in" if not started():
                return await proceed()
        raise


def at_once(coroutine: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine that never suspends."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: R = done.value
        return result
    raise AssertionError("it suspended")


async def act_on_response(
    step: Step,
    tag: str,
    proceed: Callable[[], Awaitable[R]],
    answer: Callable[[int], Awaitable[R]],
    status_of: Callable[[R], int],
) -> R:
    """Be the body of a layer that no exception reaches: what is inside it always responds."""
    if step.does == "before":
        raise make(step.fault, tag)
    response = await proceed()
    if step.does == "after":
        raise make(step.fault, tag)
    if status_of(response) >= 500:
        if step.does == "recover":
            return await answer(step.status)
        if step.does == "retry":
            return await proceed()
    return response
