"""As `pipeline`, for asyncio."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from everylayer.chain import drop_frame

from .aio_probes import probe, span_probe
from .call import Call, show
from .coding import writing
from .groups import Group, Source
from .handlers import Known, Probed, behavior_of, with_coding
from .naming import servicer

# Gives the handler that one layer, and all inside it, make of an RPC.
AioStep = Callable[[Call, Any], Awaitable[Any]]


def group_step(group: Group, inner: AioStep, around: Group) -> AioStep:
    """Return the step of a group of interceptors.

    Args:
        group: the interceptors.
        inner: the step of what is inside them.
        around: the interceptors around them.
    """
    intercept, *within = group.methods
    within.reverse()
    of_span = around.begins_span
    known = Known()

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
        if type(handler) is not Probed:
            return None if handler is None else _probed(handler, around, group)
        # The layer has handed on what it got: nothing of it will run.
        if not of_span:
            return handler
        raw = getattr(handler, "raw", None)  # The servicer's.
        if raw is None:
            return _probed(handler, around, group)
        made = known.get(raw)
        if made is None:
            made = known.keep(raw, _probed(raw, around, servicer(behavior_of(raw))))
        return made

    return step


def servicer_step(around: Group) -> AioStep:
    """Return the step of the servicer, whose handlers come again with each RPC."""
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
        found = known.keep(handler, _probed(handler, around, servicer(behavior_of(handler))))
        if type(found) is Probed:
            found.raw = handler
        return found

    return step


def _probed(handler: Any, around: Group, source: Source) -> Any:
    own = behavior = behavior_of(handler)
    serializer = handler.response_serializer
    if around.writes and serializer is not None:
        behavior, serializer = writing(handler, own, asynchronous=True)
    wrap = span_probe if around.begins_span else probe
    made = wrap(behavior, around.last, source, handler)
    return with_coding(made, own, handler, handler.request_deserializer, serializer)
