"""Many streams at once, some failing in each way: each has one span, which ends once, in time."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from grpc import aio
from opentelemetry import trace
from opentelemetry.instrumentation import grpc as stock
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import StatusCode

import everylayer_grpc
from contract.telemetry import Telemetry, error_events, install

WAYS = ("ok", "raise", "abort", "requests", "cancel", "deadline", "reader")
METHOD = "/streams.S/Talk"


class Counting(SpanProcessor):
    """How many server spans have begun, and how often each has ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.begun = 0
        self.ended: Counter[int] = Counter()

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        with self._lock:
            self.begun += span.kind is trace.SpanKind.SERVER

    def on_end(self, span: ReadableSpan) -> None:
        if span.kind is trace.SpanKind.SERVER and span.context is not None:
            with self._lock:
                self.ended[span.context.span_id] += 1


@pytest.fixture
def counting(telemetry: Telemetry) -> Iterator[Counting]:
    made = Counting()
    install().provider.add_span_processor(made)
    logging.disable(logging.CRITICAL)
    yield made
    logging.disable(logging.NOTSET)
    processors = install().provider._active_span_processor
    processors._span_processors = tuple(p for p in processors._span_processors if p is not made)


def of(span: ReadableSpan) -> str:
    return str((span.attributes or {}).get("test.way"))


def check(spans: tuple[ReadableSpan, ...], counting: Counting, sent: Counter[str]) -> None:
    assert set(counting.ended.values()) == {1}
    assert len(counting.ended) == counting.begun
    servers = [span for span in spans if span.kind is trace.SpanKind.SERVER]
    assert len(servers) == counting.begun
    found = Counter(map(of, servers))
    # A deadline may be over before the method has begun to say its way, or the RPC has come.
    begun = found.pop("None", 0) + found.pop("deadline", 0)
    assert 0 < begun <= sent["deadline"]
    assert found == Counter({way: sent[way] for way in sent if way != "deadline"})
    errors = Counter(of(found.span) for found in error_events(spans))
    assert errors == {way: sent[way] for way in ("raise", "abort", "requests") if sent[way]}
    for span in servers:
        if of(span) not in (
            "deadline",
            "None",
        ):  # Of a server this busy the client's may be over much earlier.
            failed = of(span) in ("raise", "abort", "requests")
            assert (span.status.status_code is StatusCode.ERROR) is failed, of(span)
        attributes = span.attributes or {}
        if of(span) in ("ok", "reader"):
            assert (attributes["rpc.message.received"], attributes["rpc.message.sent"]) == (3, 3)


def aio_way(context: Any) -> str:
    way = str(dict(context.invocation_metadata())["way"])
    trace.get_current_span().set_attribute("test.way", way)
    return way


async def talk(requests: Any, context: Any) -> AsyncIterator[bytes]:
    way = aio_way(context)
    async for request in requests:
        await asyncio.sleep(0)
        yield request
        if way == "raise":
            raise ValueError(way)
        if way == "abort":
            await context.abort(grpc.StatusCode.INTERNAL, way)
        if way in ("cancel", "deadline"):
            await asyncio.sleep(30)


async def read_and_write(requests: Any, context: Any) -> None:
    aio_way(context)
    while (request := await context.read()) is not aio.EOF:
        await context.write(request)


class BrokenRequests(aio.ServerInterceptor):
    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = await continuation(details)
        if dict(details.invocation_metadata)["way"] != "requests":
            return handler

        async def broken(requests: Any) -> AsyncIterator[bytes]:
            async for request in requests:
                yield request
                raise LookupError("requests")

        async def wrapped(requests: Any, context: Any) -> Any:
            async for response in handler.stream_stream(broken(requests), context):
                yield response

        return grpc.stream_stream_rpc_method_handler(wrapped)


async def converse(channel: aio.Channel, way: str) -> None:
    method = "/streams.S/Read" if way == "reader" else METHOD

    async def requests() -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"%d" % number

    rpc: Any = channel.stream_stream(method)
    call = rpc(requests(), metadata=(("way", way),), timeout=1.0 if way == "deadline" else 60)
    try:
        async for _ in call:
            if way == "cancel":
                call.cancel()
    except (grpc.RpcError, asyncio.CancelledError):
        return


async def serve_aio(interceptors: list[Any], ways: list[str]) -> None:
    server = aio.server(interceptors=interceptors)
    handlers: dict[str, Any] = {
        "Talk": grpc.stream_stream_rpc_method_handler(talk),
        "Read": grpc.stream_stream_rpc_method_handler(read_and_write),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("streams.S", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        await asyncio.gather(*(converse(channel, way) for way in ways))
    await server.stop(5)


@pytest.mark.parametrize("beside", [True, False], ids=["beside stock", "alone"])
def test_a_thousand_streams_at_once_leave_no_span_open(
    telemetry: Telemetry, counting: Counting, beside: bool
) -> None:
    ways = [WAYS[number % len(WAYS)] for number in range(1000)]
    random.Random(8).shuffle(ways)
    chain: list[Any] = [everylayer_grpc.aio_server_interceptor(), BrokenRequests()]
    if beside:
        chain.insert(0, stock.aio_server_interceptor())  # type: ignore[no-untyped-call]
    asyncio.run(serve_aio(chain, ways))
    check(telemetry.spans, counting, Counter(ways))


class BrokenRequestsInThreads(grpc.ServerInterceptor):
    def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = continuation(details)
        if dict(details.invocation_metadata)["way"] != "requests":
            return handler

        def broken(requests: Any) -> Iterator[bytes]:
            yield next(requests)
            raise LookupError("requests")

        def wrapped(requests: Any, context: Any) -> Any:
            yield from handler.stream_stream(broken(requests), context)

        return grpc.stream_stream_rpc_method_handler(wrapped)


def talk_in_a_thread(requests: Any, context: Any) -> Iterator[bytes]:
    way = aio_way(context)
    for request in requests:
        yield request
        if way == "raise":
            raise ValueError(way)
        if way == "abort":
            context.abort(grpc.StatusCode.INTERNAL, way)
        while way in ("cancel", "deadline") and context.is_active():
            threading.Event().wait(0.01)


def converse_in_a_thread(channel: grpc.Channel, way: str) -> None:
    rpc: Any = channel.stream_stream(METHOD)
    call = rpc(
        iter([b"0", b"1", b"2"]),
        metadata=(("way", way),),
        timeout=0.3 if way == "deadline" else 60,
    )
    try:
        for _ in call:
            if way == "cancel":
                call.cancel()
    except grpc.RpcError:
        return


@pytest.mark.parametrize("beside", [True, False], ids=["beside stock", "alone"])
def test_streams_in_threads_leave_no_span_open(
    telemetry: Telemetry, counting: Counting, beside: bool
) -> None:
    ways = [WAYS[number % 6] for number in range(120)]
    chain: list[Any] = [everylayer_grpc.server_interceptor(), BrokenRequestsInThreads()]
    if beside:
        chain.insert(0, stock.server_interceptor())  # type: ignore[no-untyped-call]
    pool = futures.ThreadPoolExecutor(24)
    server = grpc.server(pool, interceptors=chain)
    handlers: dict[str, Any] = {"Talk": grpc.stream_stream_rpc_method_handler(talk_in_a_thread)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("streams.S", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with (
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
        futures.ThreadPoolExecutor(24) as clients,
    ):
        list(clients.map(lambda way: converse_in_a_thread(channel, way), ways))
    server.stop(5).wait()
    pool.shutdown()
    check(telemetry.spans, counting, Counter(ways))
