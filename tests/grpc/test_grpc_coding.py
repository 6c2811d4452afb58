"""What cannot be read or written: gRPC calls serializers outside of all interceptors."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from grpc import aio
from opentelemetry.instrumentation import grpc as stock
from opentelemetry.trace import StatusCode

import everylayer_grpc
import grpc_aio
import grpc_sync
from contract.telemetry import Telemetry, error_events, server_span, server_spans
from grpc_cases import BY_NAME, SHAPES, Shape

Sent = tuple[grpc.StatusCode, str, list[bytes]]


class UnreadableError(Exception):
    pass


class UnwritableError(Exception):
    pass


def parse(data: bytes) -> bytes:
    if data == b"unreadable":
        raise UnreadableError("not a message")
    return data


def dump(message: bytes) -> bytes:
    if message == b"unwritable":
        raise UnwritableError("not bytes")
    return message


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def behavior(shape: Shape) -> Callable[..., Any]:
    def serve(request: Any, context: Any) -> Any:
        return b",".join(request) if shape.takes_stream else request

    def stream(request: Any, context: Any) -> Any:
        yield from request if shape.takes_stream else [b"first", request]

    return stream if shape.gives_stream else serve


def aio_behavior(shape: Shape) -> Callable[..., Any]:
    async def serve(request: Any, context: Any) -> Any:
        return b",".join([each async for each in request]) if shape.takes_stream else request

    async def stream(request: Any, context: Any) -> AsyncIterator[bytes]:
        if shape.takes_stream:
            async for each in request:
                yield each
        else:
            for each in (b"first", request):
                yield each

    return stream if shape.gives_stream else serve


def handlers(make: Callable[[Shape], Any]) -> Any:
    methods = {shape.name: grpc_sync.factory(shape)(make(shape), parse, dump) for shape in SHAPES}
    return (grpc.method_handlers_generic_handler("code.S", methods),)


def chain(layers: Any, arm: str) -> list[Any]:
    """Return the interceptors of an arm; another one makes handlers of its own."""
    found: list[Any] = [layers.Recovery()]
    if arm != "bare":
        asynchronous = layers is grpc_aio
        found.append(getattr(everylayer_grpc, "aio_" * asynchronous + "server_interceptor")())
        if arm != "alone":
            at = 0 if arm == "beside" else 1
            found.insert(at, getattr(stock, "aio_" * asynchronous + "server_interceptor")())
    return found


def send(arm: str, shape: Shape, messages: list[bytes]) -> Sent:
    pool = futures.ThreadPoolExecutor(2)
    server = grpc.server(pool, interceptors=chain(grpc_sync, arm))
    server.add_generic_rpc_handlers(handlers(behavior))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        rpc: Any = getattr(channel, shape.name)(f"/code.S/{shape.name}")
        request: Any = iter(messages) if shape.takes_stream else messages[-1]
        found: list[bytes] = []
        going = (rpc if shape.gives_stream else rpc.future)(request, timeout=3)
        with contextlib.suppress(grpc.RpcError):
            found += going if shape.gives_stream else [going.result()]
        sent = going.code(), going.details(), found
    # A stream that gRPC has refused itself is answered twice, which its own `stop` may wait for.
    stopping = threading.Thread(target=server.stop, args=(None,), daemon=True)
    stopping.start()
    stopping.join(0.1)
    return sent


async def send_aio(arm: str, shape: Shape, messages: list[bytes]) -> Sent:
    server = aio.server(interceptors=chain(grpc_aio, arm))
    server.add_generic_rpc_handlers(handlers(aio_behavior))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        rpc: Any = getattr(channel, shape.name)(f"/code.S/{shape.name}")
        going = rpc(given(messages) if shape.takes_stream else messages[-1], timeout=3)
        found: list[bytes] = []
        with contextlib.suppress(grpc.RpcError):
            if shape.gives_stream:
                async for message in going:
                    found.append(message)
            else:
                found.append(await going)
        sent = await going.code(), await going.details(), found
    await server.stop(None)
    return sent


async def given(messages: list[bytes]) -> AsyncIterator[bytes]:
    for message in messages:
        yield message
    if messages[-1] == b"unreadable":
        await asyncio.sleep(30)  # An answer that crosses the end may hide behind that.


def sent_by(mode: str, arm: str, shape: Shape, messages: list[bytes]) -> Sent:
    if mode == "sync":
        return send(arm, shape, messages)
    return asyncio.run(send_aio(arm, shape, messages))


cases = pytest.mark.parametrize(
    ("mode", "shape"),
    [
        pytest.param(mode, shape, id=f"{mode}-{shape.name}")
        for mode in ("sync", "aio")
        for shape in SHAPES
    ],
)


@pytest.mark.parametrize("message", [b"unreadable", b"unwritable"])
@cases
def test_a_message_that_cannot_be_coded_is_on_the_span_of_the_rpc_once(
    telemetry: Telemetry, mode: str, shape: Shape, message: bytes
) -> None:
    # Of a stream of requests, the one response of `stream_unary` is both of them joined.
    messages = [message] if shape.name == "stream_unary" else [b"first", message]
    bare = sent_by(mode, "bare", shape, messages)
    for arm in ("beside", "alone"):
        telemetry.clear()
        assert sent_by(mode, arm, shape, messages) == bare
        spans = telemetry.wait(lambda found: server_spans(found) and found)
        (found,) = error_events(spans)
        attributes = found.event.attributes or {}
        kind = UnreadableError if message == b"unreadable" else UnwritableError
        assert str(attributes["exception.type"]).endswith(kind.__name__)
        coder = "parse" if message == b"unreadable" else "dump"
        assert attributes["everylayer.layer.name"] == coder
        server = server_span(spans)
        assert found.span is server
        assert server.status.status_code is StatusCode.ERROR
        assert (server.attributes or {})["rpc.status_code"] == bare[0].name


@cases
def test_what_can_be_coded_arrives_as_ever(telemetry: Telemetry, mode: str, shape: Shape) -> None:
    bare = sent_by(mode, "bare", shape, [b"first", b"second"])
    assert bare[0] is grpc.StatusCode.OK
    for arm in ("beside", "alone", "between"):
        assert sent_by(mode, arm, shape, [b"first", b"second"]) == bare
    assert error_events(telemetry.spans) == []


@pytest.mark.parametrize("mode", ["sync", "aio"])
def test_inside_another_interceptor_stocks_span_ends_before_that(
    telemetry: Telemetry, mode: str
) -> None:
    sent_by(mode, "between", BY_NAME["unary_unary"], [b"unwritable"])
    spans = telemetry.wait(lambda found: error_events(found) and found)
    (found,) = error_events(spans)
    server = server_span(spans)
    assert found.span.parent is not None
    assert found.span.parent.span_id == server.context.span_id
