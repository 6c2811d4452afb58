"""The seams of an asyncio server: around the whole pipeline, and inside each interceptor."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from grpc import aio
from opentelemetry import context as otel

from everylayer import spans
from everylayer.chain import drop_frame
from everylayer.settings import Settings

from . import server
from .aio_pipeline import AioStep, group_step, probed, servicer_step
from .aio_plain import remembering
from .aio_streams import SEEN, AioRequests, CountingContext
from .call import CURRENT, AioCall, Call, show
from .coding import coded_unary, read, read_each, shown, writing
from .entered import entering_of, stand_in
from .groups import Group, Source, grouped
from .handlers import NAMED, Behavior, Kind, Probed, behavior_of, kind_of, with_coding
from .naming import GRPC, is_stock, servicer

AioContinuation = Callable[[Any], Awaitable[Any]]

new = tuple.__new__


async def _nothing(following: Any, details: Any) -> Any:
    return None


class AioServerSeam(aio.ServerInterceptor):
    """The outermost seam: one ledger an RPC, from its first interceptor to its last message.

    Where it is not outermost it is what it can be: a seam around all that is inside it.

    Attributes:
        settings: the rules in force.
        others: the interceptors that it runs itself, outermost first.
        first: the interceptors right inside it; None where it runs none.
        intercept: the method of the outermost of them.
        within: those of the others, innermost first.
        inner: the step of what is inside them.
        alone: nothing inside it begins the server span.
        sole: nothing but gRPC is around it.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.others: tuple[Any, ...] = ()
        self.first: Group | None = None
        self.intercept: Callable[..., Any] = _nothing
        self.within: tuple[Callable[..., Any], ...] = ()
        self.inner: AioStep = _nothing
        self.alone = True
        self.sole = False

    async def intercept_service(
        self, continuation: AioContinuation, handler_call_details: Any
    ) -> Any:
        if not self.settings.enabled:
            return await continuation(handler_call_details)
        details = handler_call_details
        call = AioCall(self.settings, details.method, details.invocation_metadata or ())
        first = self.first
        try:
            if first is None:
                handler = await continuation(details)
            else:
                call.handler_of = continuation
                following = partial(self.inner, call)
                for method in self.within:
                    following = partial(method, following)
                handler = await self.intercept(following, details)
        except BaseException as exc:
            show(exc, first, "intercept_service", call)
            drop_frame(exc)
            call.finish(exc)
            raise
        if handler is None:
            call.unimplemented()
            return None
        if call.given is None or handler is call.given:
            return self._around(handler, call)
        if handler[4] is not None:
            return _unary_in_span(handler, call, first)
        call.streams = True
        call.received = int(not handler[0])
        return _stream_in_span(handler, handler[7] or handler[5], call, first)

    def _around(self, handler: Any, call: Call) -> Any:
        first = self.first
        if call.given is not None and first is not None:
            # Stock has been told to leave this RPC alone.
            handler = probed(handler, first, call.source)
            call.given = None
        if self.sole and not self.alone and type(handler) is NAMED:
            if handler[4] is not None:
                if kind_of(handler[4]) is Kind.COROUTINE:
                    return _unary_in_span(handler, call, first)
            else:
                streaming = handler[7] or handler[5]
                if streaming is not None and kind_of(streaming) is Kind.GENERATOR:
                    return _stream_in_span(handler, streaming, call, first)
        return self._outermost(handler, call)

    def _outermost(self, handler: Any, call: Call) -> Any:
        own = behavior = behavior_of(handler)
        source = self.first or servicer(own)
        if kind_of(own) is Kind.PLAIN:
            return remembering(server.outermost(handler, call, source, self.alone))
        serializer = handler.response_serializer
        if self.alone:
            behavior, serializer = writing(handler, own, asynchronous=True)
        serve = self._serve(behavior, handler, call, source)
        deserializer = handler.request_deserializer
        if handler.request_streaming:
            deserializer = read_each(deserializer, call)
        else:
            deserializer = read(deserializer, call, ends=True)
        return with_coding(serve, own, handler, deserializer, shown(serializer, call))

    def _serve(self, behavior: Behavior, handler: Any, call: Call, source: Source) -> Behavior:
        if kind_of(behavior) is Kind.COROUTINE:
            run = _called(behavior, bool(handler.response_streaming))
        elif self.sole:
            run = _written(behavior)
        else:
            return _generated(behavior, handler, call, source, self.alone)

        async def serve(request: Any, context: Any) -> Any:
            with _Served(call, request, context, handler, source, self.alone) as served:
                return await run(served.request, served.context, call)

        return serve


def _unary_in_span(handler: Any, call: Call, first: Group | None) -> Any:
    """As `AioServerSeam._outermost`, for one message each way, in a span that is begun inside."""
    behavior = handler[4]

    async def serve(request: Any, context: Any) -> Any:
        call.context = context
        CURRENT.set(call)  # For good: gRPC runs each RPC in a task of its own.
        try:
            response = await behavior(request, context)
        except BaseException as exc:
            show(exc, first or servicer(behavior), "call", call)
            drop_frame(exc)
            call.finish(exc)
            raise
        call.rest()
        return response

    return coded_unary(handler, serve, call)


def _stream_in_span(handler: Any, behavior: Behavior, call: Call, first: Group | None) -> Any:
    """As `_unary_in_span`, for a generator of responses."""
    takes_stream, deserializer, serializer = handler[0], handler[2], handler[3]

    async def serve(request: Any, context: Any) -> None:
        call.context = context
        CURRENT.set(call)
        write = context.write
        responses = behavior(request, context)
        try:
            try:
                async for response in responses:  # As `_written` does it, and for its reason.
                    await write(response)
                    call.sent += 1
            except BaseException:
                await responses.aclose()
                raise
        except BaseException as exc:
            show(exc, first or servicer(behavior), "call", call)
            drop_frame(exc)
            call.finish(exc)
            raise
        call.rest()

    about = None if call.given is not None else vars(behavior)  # Stock's own has none.
    if about:
        vars(serve).update(about)
    if takes_stream:
        deserializer = read_each(deserializer, call)
    elif deserializer is not None:
        deserializer = read(deserializer, call, ends=True)
    if serializer is not None:
        serializer = shown(serializer, call)
    one, many = (None, serve) if takes_stream else (serve, None)
    fields = (takes_stream, True, deserializer, serializer, None, one, None, many)
    return new(Probed, fields)


class _Served:
    """Stands around the behavior of one RPC: what it gets, and how it ended."""

    __slots__ = ("_call", "_source", "_token", "_within", "context", "request")

    def __init__(
        self, call: Call, request: Any, context: Any, handler: Any, source: Source, alone: bool
    ) -> None:
        """Begin the server span if nothing inside does, which is what `alone` says."""
        call.context = context
        self._call = call
        self._source = source
        self._token = CURRENT.set(call)
        self.request = request
        self.context = context
        within = call.begin() if alone else None
        self._within = None if within is None else otel.attach(within)
        if within is None:
            return
        if not handler.request_streaming:
            call.received = 1
        elif type(request) not in SEEN:
            self.request = AioRequests(request, GRPC)

    def __enter__(self) -> _Served:
        return self

    def __exit__(self, kind: Any, exc: BaseException | None, tb: Any) -> None:
        call = self._call
        if exc is not None:
            show(exc, self._source, "call", call)
            drop_frame(exc)
            call.finish(exc)
        if self._within is not None:
            spans.detach(self._within)
        CURRENT.reset(self._token)
        if exc is None:
            call.rest()


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


def _generated(
    behavior: Behavior, handler: Any, call: Call, source: Source, alone: bool
) -> Behavior:
    async def serve(request: Any, context: Any) -> Any:
        with _Served(call, request, context, handler, source, alone) as served:
            async for response in behavior(served.request, served.context):
                call.sent += 1
                yield response

    return serve


def arranged(settings: Settings, others: Sequence[Any]) -> list[Any]:
    """Return what gRPC is to run in the place of the interceptors `others`."""
    made = AioServerSeam(settings)
    made.sole = True
    made.others = tuple(others)
    made.alone = not any(map(is_stock, others))
    groups = grouped([*map(stand_in, others)])
    if groups:
        made.first = groups[0]
        made.intercept, *within = groups[0].methods
        made.within = tuple(reversed(within))
        entering = entering_of(groups[0])
        step = servicer_step(groups[-1], entering if len(groups) == 1 else None)
        for around, group in reversed([*itertools.pairwise(groups)]):
            step = group_step(group, step, around, entering if around is groups[0] else None)
        made.inner = step
    return [made]
