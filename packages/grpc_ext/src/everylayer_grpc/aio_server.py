"""The seams of an asyncio server: around the whole pipeline, and inside each interceptor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from grpc import aio
from opentelemetry import context as otel

from everylayer import spans
from everylayer.chain import drop_frame
from everylayer.layers import Layer
from everylayer.settings import Settings

from . import server
from .aio_probes import probe, span_probe
from .aio_streams import AioRequests, CountingContext
from .call import CURRENT, Call, show
from .handlers import Behavior, Kind, Known, Probed, behavior_of, kind_of, with_behavior
from .naming import GRPC, is_stock, named, servicer

AioContinuation = Callable[[Any], Awaitable[Any]]


class AioProbe(aio.ServerInterceptor):
    """Stands inside one interceptor and around the next layer.

    Args:
        inside: the layer it stands in, which may have put its own iterator around the requests.
        around: the layer whose errors come first to it; None for the servicer.
        of_span: the layer it stands in begins the server span.
    """

    def __init__(self, inside: Layer, around: Layer | None, of_span: bool = False) -> None:
        self._inside = inside
        self._around = around
        self._of_span = of_span
        self._known = Known()

    async def intercept_service(
        self, continuation: AioContinuation, handler_call_details: Any
    ) -> Any:
        try:
            handler = await continuation(handler_call_details)
        except BaseException as exc:
            show(exc, self._around, "intercept_service")
            drop_frame(exc)
            raise
        if handler is None:
            return None
        # The servicer's handlers come again with each RPC, those of interceptors do not.
        return (self._around is None and self._known.get(handler)) or self._wrapped(handler)

    def _wrapped(self, handler: Any) -> Any:
        if type(handler) is Probed and not self._of_span:
            return handler  # The layer has handed on what it got: nothing of it will run.
        behavior = behavior_of(handler)
        layer = self._around or servicer(behavior)
        wrap = span_probe if self._of_span else probe
        wrapped = wrap(behavior, self._inside, layer, handler)
        made = with_behavior(handler, wrapped, behavior)
        return self._known.keep(handler, made) if self._around is None else made


class AioServerSeam(aio.ServerInterceptor):
    """The outermost seam: one ledger an RPC, from its first interceptor to its last message.

    Where it is not outermost it is what it can be: a seam around all that is inside it.

    Attributes:
        settings: the rules in force.
        first: the interceptor right inside it; None is the servicer.
        alone: nothing inside it begins the server span.
        sole: nothing but gRPC is around it.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.first: Layer | None = None
        self.alone = True
        self.sole = False

    async def intercept_service(
        self, continuation: AioContinuation, handler_call_details: Any
    ) -> Any:
        if not self.settings.enabled:
            return await continuation(handler_call_details)
        details = handler_call_details
        call = Call(self.settings, details.method, details.invocation_metadata or ())
        token = CURRENT.set(call)
        try:
            handler = await continuation(details)
        except BaseException as exc:
            show(exc, self.first, "intercept_service")
            drop_frame(exc)
            call.finish(exc)
            raise
        finally:
            CURRENT.reset(token)
        if handler is None:
            call.unimplemented()
            return None
        behavior = behavior_of(handler)
        return with_behavior(handler, self._outermost(behavior, handler, call), behavior)

    def _outermost(self, behavior: Behavior, handler: Any, call: Call) -> Behavior:
        layer = self.first or servicer(behavior)
        kind = kind_of(behavior)
        if kind is Kind.PLAIN:
            return server.outermost(behavior, handler, call, layer, self.alone)
        if kind is Kind.COROUTINE:
            run = _called(behavior, bool(handler.response_streaming))
        elif self.sole:
            run = _written(behavior)
        else:
            return _generated(behavior, handler, call, layer, self.alone)

        async def serve(request: Any, context: Any) -> Any:
            token, within, request, given = _enter(call, request, context, handler, self.alone)
            try:
                response = await run(request, given, call)
            except BaseException as exc:
                show(exc, layer, "call")
                drop_frame(exc)
                call.finish(exc)
                raise
            finally:
                if within is not None:
                    spans.detach(within)
                CURRENT.reset(token)
            call.rest()
            return response

        return serve


def _enter(call: Call, request: Any, context: Any, handler: Any, alone: bool) -> Any:
    call.context = context
    token = CURRENT.set(call)
    within = call.begin() if alone else None
    if within is not None:
        if handler.request_streaming:
            request = AioRequests(request, GRPC, call)
            context = CountingContext(context, call)
        else:
            call.received = 1
    return token, None if within is None else otel.attach(within), request, context


def _called(behavior: Behavior, gives_stream: bool) -> Behavior:
    async def run(request: Any, context: Any, call: Call) -> Any:
        if gives_stream and call.own is not None and type(context) is not CountingContext:
            context = CountingContext(context, call)
        response = await behavior(request, context)
        if not gives_stream:
            call.sent = 1
        return response

    return run


def _written(behavior: Behavior) -> Behavior:
    """Return a method that writes by the context what the generator `behavior` yields.

    As gRPC does it by itself; but a client that goes away while a message is being written
    closes the generator here, in its own context, rather than when it is collected.
    """

    async def run(request: Any, context: Any, call: Call) -> None:
        responses = behavior(request, context)
        write = call.context.write
        try:
            async for response in responses:
                await write(response)
                call.sent += 1
        except BaseException:
            await responses.aclose()
            raise

    return run


def _generated(behavior: Behavior, handler: Any, call: Call, layer: Layer, alone: bool) -> Behavior:
    async def serve(request: Any, context: Any) -> Any:
        token, within, request, given = _enter(call, request, context, handler, alone)
        try:
            async for response in behavior(request, given):
                call.sent += 1
                yield response
        except BaseException as exc:
            show(exc, layer, "response")
            drop_frame(exc)
            call.finish(exc)
            raise
        finally:
            if within is not None:
                spans.detach(within)
            CURRENT.reset(token)
        call.rest()

    return serve


def arranged(settings: Settings, others: Sequence[Any]) -> list[Any]:
    """Return what gRPC is to run in the place of the interceptors `others`."""
    outermost = AioServerSeam(settings)
    outermost.sole = True
    outermost.alone = not any(map(is_stock, others))
    layers = named(others)
    outermost.first = layers[0] if layers else None
    chain: list[Any] = [outermost]
    for layer, own, following in zip(others, layers, [*layers, None][1:], strict=True):
        chain += [layer, AioProbe(own, following, is_stock(layer))]
    return chain
