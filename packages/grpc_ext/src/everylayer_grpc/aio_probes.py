"""What stands around one behavior of an asyncio server, of the same kind as it."""

from __future__ import annotations

from typing import Any

from opentelemetry.context import get_current

from everylayer.chain import drop_frame
from everylayer.layers import Layer

from . import probes
from .aio_streams import SEEN, AioRequests, CountingContext
from .call import CURRENT, show
from .groups import Source
from .handlers import Behavior, Kind, kind_of


def probe(behavior: Behavior, inside: Layer, layer: Source, handler: Any) -> Behavior:
    """Return `behavior`, which shows what fails in it or in the requests that it reads."""
    takes_stream = bool(handler.request_streaming)
    kind = kind_of(behavior)
    if kind is Kind.PLAIN:
        return probes.probed(
            behavior, inside, layer, takes_stream, bool(handler.response_streaming)
        )
    wrap = _called if kind is Kind.COROUTINE else _generated
    return wrap(behavior, inside, layer, takes_stream)


def _called(behavior: Behavior, inside: Layer, layer: Source, takes_stream: bool) -> Behavior:
    async def call(request: Any, context: Any) -> Any:
        if takes_stream and type(request) not in SEEN:
            request = AioRequests(request, inside)
        try:
            return await behavior(request, context)
        except BaseException as exc:
            show(exc, layer, "call")
            drop_frame(exc)
            raise

    return call


def _generated(behavior: Behavior, inside: Layer, layer: Source, takes_stream: bool) -> Behavior:
    async def call(request: Any, context: Any) -> Any:
        if takes_stream and type(request) not in SEEN:
            request = AioRequests(request, inside)
        responses = behavior(request, context)
        try:
            async for response in responses:
                yield response
        except BaseException as exc:
            show(exc, layer, "response")
            drop_frame(exc)
            await responses.aclose()
            raise

    return call


def span_probe(behavior: Behavior, inside: Layer, layer: Source, handler: Any) -> Behavior:
    """Return `behavior`, which runs right inside the layer that begins the server span.

    That layer takes a method that writes by its context for a generator: so it gets one.
    """
    takes_stream = bool(handler.request_streaming)
    gives_stream = bool(handler.response_streaming)
    kind = kind_of(behavior)
    if kind is Kind.PLAIN:
        return probes.spanned(behavior, inside, layer, takes_stream, gives_stream)
    if not gives_stream:
        return _called_in_span(behavior, inside, layer, takes_stream)
    return _generated_in_span(behavior, inside, layer, takes_stream, kind)


def _called_in_span(
    behavior: Behavior, inside: Layer, layer: Source, takes_stream: bool
) -> Behavior:
    async def call(request: Any, context: Any) -> Any:
        known = CURRENT.get()
        if known is None:
            return await behavior(request, context)
        known.within = get_current()
        if takes_stream and type(request) not in SEEN:
            request = AioRequests(request, inside)
        try:
            response = await behavior(request, context)
        except BaseException as exc:
            show(exc, layer, "call")
            known.received = known.received or int(not takes_stream)
            known.leave_span(exc)
            drop_frame(exc)
            raise
        if takes_stream:
            known.sent = 1
            known.streamed()
        elif known.spoken():
            known.leave_unary()
        return response

    return call


def _generated_in_span(
    behavior: Behavior, inside: Layer, layer: Source, takes_stream: bool, kind: Kind
) -> Behavior:
    generate = _as_generator(behavior) if kind is Kind.COROUTINE else behavior

    async def call(request: Any, context: Any) -> Any:
        known = CURRENT.get()
        if known is not None:
            known.within = get_current()
            if not takes_stream:
                known.received = 1
            elif type(request) not in SEEN:
                request = AioRequests(request, inside)
            if kind is Kind.COROUTINE:
                context = CountingContext(context, known)
        responses = generate(request, context)
        try:
            async for response in responses:
                yield response  # The outermost seam counts what goes out.
        except BaseException as exc:
            show(exc, layer, "response")
            if known is not None:
                known.leave_span(exc)
            drop_frame(exc)
            await responses.aclose()
            raise
        if known is not None:
            known.streamed()

    return call


def _as_generator(behavior: Behavior) -> Behavior:
    async def generate(request: Any, context: Any) -> Any:
        await behavior(request, context)
        none: tuple[Any, ...] = ()
        for response in none:
            yield response

    return generate
