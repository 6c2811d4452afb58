"""As `pipeline`, for asyncio."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from everylayer.chain import drop_frame

from .aio_probes import probe, span_probe
from .call import Call, show
from .coding import writing
from .entered import Entering
from .groups import Group, Source
from .handlers import NAMED, Kind, Known, Plain, Probed, behavior_of, kind_of, with_coding
from .naming import servicer

# Gives the handler that one layer, and all inside it, make of an RPC.
AioStep = Callable[[Call, Any], Awaitable[Any]]


def group_step(group: Group, inner: AioStep, around: Group, entering: Entering | None) -> AioStep:
    """Return the step of a group of interceptors.

    Args:
        group: the interceptors.
        inner: the step of what is inside them.
        around: the interceptors around them.
        entering: what may make a seam of the span that these begin.
    """
    if around.begins_span:
        return _step_in_span(group, inner, around, entering)
    intercept, *within = group.methods
    within.reverse()

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
        if handler is None or type(handler) is Probed:
            return handler  # The layer has handed on what it got: nothing of it will run.
        return probed(handler, around, group)

    return step


def _step_in_span(
    group: Group, inner: AioStep, around: Group, entering: Entering | None
) -> AioStep:
    plain = Known()
    spanned = _spanned(group, around)
    intercept, *within = group.methods
    within.reverse()

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
        if handler is None or entering is None or (entering.known is None and not entering.ready()):
            return spanned(handler)
        raw = getattr(handler, "raw", None) if type(handler) is Probed else None
        if raw is None:
            given, source = as_given(handler), group
        else:  # The servicer's, untouched.
            given, source = plain.get(raw) or plain.keep(raw, _as_given(raw))
        if given is None:
            return spanned(handler)
        call.given, call.source = given, source
        return given

    return step


def _spanned(group: Group, around: Group) -> Callable[[Any], Any]:
    """Return what makes the handler right inside `around` of what `group` gives."""
    known = Known()

    def spanned(handler: Any) -> Any:
        raw = getattr(handler, "raw", None) if type(handler) is Probed else None
        if raw is None:
            return None if handler is None else probed(handler, around, group)
        made = known.get(raw)
        return made or known.keep(raw, probed(raw, around, servicer(behavior_of(raw))))

    return spanned


def as_given(handler: Any) -> Any:
    """Return `handler` as stock gets it where its span is the seam around it.

    That seam cannot tell a call from what it returned: None for these.
    """
    if type(handler) is not NAMED:
        return None
    behavior = behavior_of(handler)
    takes_stream, gives_stream = handler[0], handler[1]
    kind = kind_of(behavior)
    if kind is not (Kind.GENERATOR if gives_stream else Kind.COROUTINE):
        return None
    if takes_stream and not gives_stream:
        return None
    if handler[3] is None:
        return handler
    write, serializer = writing(handler, behavior, asynchronous=True)
    return with_coding(write, behavior, handler, handler[2], serializer)


def _as_given(handler: Any) -> Plain:
    return Plain(as_given(handler), servicer(behavior_of(handler)))


def servicer_step(around: Group, entering: Entering | None) -> AioStep:
    """Return the step of the servicer, whose handlers come again with each RPC."""
    known, plain = Known(), Known()
    made, given = known.made, plain.made  # Not by their methods: each RPC comes here.

    async def step(call: Call, details: Any) -> Any:
        try:
            handler = await call.handler_of(details)
        except BaseException as exc:
            show(exc, None, "intercept_service", call)
            drop_frame(exc)
            raise
        if handler is None:
            return None
        if entering is not None and (entering.known is not None or entering.ready()):
            kept = given.get(id(handler))
            as_it_is = kept[1] if kept is not None else plain.keep(handler, _as_given(handler))
            if as_it_is.handler is not None:
                call.given, call.source = as_it_is
                return call.given
        kept = made.get(id(handler))
        if kept is not None:
            return kept[1]
        found = known.keep(handler, probed(handler, around, servicer(behavior_of(handler))))
        if type(found) is Probed:
            found.raw = handler
        return found

    return step


def probed(handler: Any, around: Group, source: Source) -> Any:
    """Return a handler like `handler`, of `source`, with a probe right inside `around`."""
    own = behavior = behavior_of(handler)
    serializer = handler.response_serializer
    if around.writes and serializer is not None:
        behavior, serializer = writing(handler, own, asynchronous=True)
    wrap = span_probe if around.begins_span else probe
    made = wrap(behavior, around.last, source, handler)
    return with_coding(made, own, handler, handler.request_deserializer, serializer)
