"""As `pipeline`, for asyncio."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from everylayer.chain import drop_frame
from everylayer.layers import Layer

from .aio_probes import probe, span_probe
from .call import Call, show
from .groups import Group
from .handlers import Known, Probed, behavior_of, with_behavior
from .naming import servicer

# Gives the handler that one layer, and all inside it, make of an RPC.
AioStep = Callable[[Call, Any], Awaitable[Any]]


def group_step(group: Group, inner: AioStep, inside: Layer, of_span: bool) -> AioStep:
    """Return the step of a group of interceptors.

    Args:
        group: the interceptors.
        inner: the step of what is inside them.
        inside: the layer around them, which may have put its own iterator around the requests.
        of_span: the layer around them begins the server span.
    """
    intercept, *within = group.methods
    within.reverse()
    wrap = span_probe if of_span else probe

    async def step(call: Call, details: Any) -> Any:
        following = partial(inner, call)
        for method in within:
            following = partial(method, following)
        try:
            handler = await intercept(following, details)
        except BaseException as exc:
            show(exc, group, "intercept_service", call)
            drop_frame(exc)
            raise
        if handler is None or (type(handler) is Probed and not of_span):
            return handler  # The layer has handed on what it got: nothing of it will run.
        behavior = behavior_of(handler)
        return with_behavior(handler, wrap(behavior, inside, group, handler), behavior)

    return step


def servicer_step(inside: Layer, of_span: bool) -> AioStep:
    """Return the step of the servicer, whose handlers come again with each RPC."""
    wrap = span_probe if of_span else probe
    known = Known()
    made = known.made  # Not by its method: each RPC comes here.

    async def step(call: Call, details: Any) -> Any:
        try:
            handler = await call.handler_of(details)  # type: ignore[misc]
        except BaseException as exc:
            show(exc, None, "intercept_service", call)
            drop_frame(exc)
            raise
        if handler is None:
            return None
        kept = made.get(id(handler))
        if kept is not None:
            return kept[1]
        behavior = behavior_of(handler)
        wrapped = wrap(behavior, inside, servicer(behavior), handler)
        return known.keep(handler, with_behavior(handler, wrapped, behavior))

    return step
