"""Messages of a client under asyncio: as many are counted as were read, however they are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import grpc
import pytest
from grpc import aio
from opentelemetry.instrumentation import grpc as stock

import everylayer_grpc
from contract.telemetry import Telemetry, error_events, server_span

UNREADABLE = b"unreadable"
MESSAGES = [b"1", b"2", b"3"]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


async def iterate(requests: Any, context: Any) -> bytes:
    return b"".join([message.encode() async for message in requests])


async def leave_early(requests: Any, context: Any) -> bytes:
    async for message in requests:
        if message == "2":
            break
    return b"12"


async def read(requests: Any, context: Any) -> bytes:
    found = ""
    while (message := await context.read()) is not aio.EOF:
        found += message
    return found.encode()


METHODS = {"iterate": iterate, "leave_early": leave_early, "read": read}


def streamed(method: Any) -> Any:
    async def stream(requests: Any, context: Any) -> AsyncIterator[bytes]:
        yield await method(requests, context)

    return stream


def decode(data: bytes) -> str:
    if data == UNREADABLE:
        raise ValueError("asked for")
    return data.decode()


class OtherRequests(aio.ServerInterceptor):
    """Hands on an iterator of its own, which takes the client's messages two by two."""

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = await continuation(details)

        async def joined(requests: Any) -> AsyncIterator[str]:
            found = [message async for message in requests]
            for at in range(0, len(found), 2):
                yield "".join(found[at : at + 2])

        if handler.response_streaming:

            async def stream(requests: Any, context: Any) -> AsyncIterator[bytes]:
                async for response in handler.stream_stream(joined(requests), context):
                    yield response

            return handler._replace(stream_stream=stream)

        async def serve(requests: Any, context: Any) -> Any:
            return await handler.stream_unary(joined(requests), context)

        return handler._replace(stream_unary=serve)


def handlers() -> Any:
    methods: dict[str, Any] = {}
    for name, method in METHODS.items():
        methods[f"one-{name}"] = grpc.stream_unary_rpc_method_handler(method, decode)
        methods[f"many-{name}"] = grpc.stream_stream_rpc_method_handler(streamed(method), decode)
    return (grpc.method_handlers_generic_handler("messages.S", methods),)


async def send(layers: list[Any], method: str, messages: list[bytes]) -> list[bytes]:
    server = aio.server(interceptors=layers)
    server.add_generic_rpc_handlers(handlers())
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        shape = "stream_unary" if method.startswith("one") else "stream_stream"
        rpc: Any = getattr(channel, shape)(f"/messages.S/{method}")
        answer: list[bytes] = []
        with suppress(grpc.RpcError):
            going = rpc(iter(messages), timeout=10)
            if shape == "stream_unary":
                answer = [await going]
            else:
                answer = [message async for message in going]
    await server.stop(None)
    return answer


def chain(beside: bool, outer: bool) -> list[Any]:
    begins = [stock.aio_server_interceptor()] if beside else []  # type: ignore[no-untyped-call]
    others: list[Any] = [OtherRequests()] if outer else []
    return [*others, *begins, everylayer_grpc.aio_server_interceptor()]


def counts(telemetry: Telemetry) -> tuple[Any, Any]:
    attributes = server_span(telemetry.spans).attributes or {}
    return attributes["rpc.message.received"], attributes["rpc.message.sent"]


besides = pytest.mark.parametrize("beside", [True, False], ids=["beside stock", "alone"])
shapes = pytest.mark.parametrize("shape", ["one", "many"])


@pytest.mark.parametrize("name", METHODS)
@shapes
@besides
def test_as_many_are_counted_as_were_read(
    telemetry: Telemetry, beside: bool, shape: str, name: str
) -> None:
    layers = chain(beside, outer=False)
    answer = asyncio.run(send(layers, f"{shape}-{name}", MESSAGES))
    assert answer == [b"12" if name == "leave_early" else b"123"]
    assert counts(telemetry) == (2 if name == "leave_early" else 3, 1)


@shapes
@besides
def test_one_that_cannot_be_read_is_not_counted(
    telemetry: Telemetry, beside: bool, shape: str
) -> None:
    layers = chain(beside, outer=False)
    assert asyncio.run(send(layers, f"{shape}-iterate", [b"1", b"2", UNREADABLE])) == []
    assert counts(telemetry) == (2, 0)
    (found,) = error_events(telemetry.spans)
    assert (found.event.attributes or {})["everylayer.layer.phase"] == "deserialize"


@shapes
@besides
def test_what_an_interceptor_makes_of_them_is_not_what_is_counted(
    telemetry: Telemetry, beside: bool, shape: str
) -> None:
    assert asyncio.run(send(chain(beside, outer=True), f"{shape}-iterate", MESSAGES)) == [b"123"]
    assert counts(telemetry) == (3, 1)
