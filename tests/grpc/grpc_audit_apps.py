"""Servers to audit: with threads and with asyncio, of every kind of method."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from concurrent import futures
from typing import Any

import grpc

KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
SERVICE = "kinds.Kinds"


class Handing(grpc.ServerInterceptor):
    """Does its work when the method is looked up, and hands on what it gets."""

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        return continuation(handler_call_details)


class Around(grpc.ServerInterceptor):
    """Puts a function around the method."""

    def __init__(self, name: str = "") -> None:
        self.name = name

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        handler = continuation(handler_call_details)
        kind = kind_of(handler)
        inner = getattr(handler, kind)

        def around(request: Any, context: Any) -> Any:
            context.set_trailing_metadata((("passed", self.name),))
            return inner(request, context)

        def around_stream(request: Any, context: Any) -> Any:
            context.set_trailing_metadata((("passed", self.name),))
            yield from inner(request, context)

        wrapped = around_stream if handler.response_streaming else around
        return getattr(grpc, f"{kind}_rpc_method_handler")(wrapped)


class Converting(grpc.ServerInterceptor):
    """Answers with a code what fails inside it, and looks at each message on its way in."""

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        handler = continuation(handler_call_details)
        kind = kind_of(handler)
        inner = getattr(handler, kind)

        def converted(request: Any, context: Any) -> Any:
            if handler.request_streaming:
                request = self.each(request)
            try:
                answer = inner(request, context)
            except Exception:
                if context.code() is None:
                    context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
                raise
            return answer

        return getattr(grpc, f"{kind}_rpc_method_handler")(converted)

    @staticmethod
    def each(messages: Iterator[bytes]) -> Iterator[bytes]:
        yield from messages


class AioHanding(grpc.aio.ServerInterceptor):
    """The same for asyncio."""

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        return await continuation(handler_call_details)


class AioAround(grpc.aio.ServerInterceptor):
    """The same for asyncio."""

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        handler = await continuation(handler_call_details)
        kind = kind_of(handler)
        inner = getattr(handler, kind)

        async def around(request: Any, context: Any) -> Any:
            return await inner(request, context)

        async def around_stream(request: Any, context: Any) -> Any:
            async for message in inner(request, context):
                yield message

        wrapped = around_stream if handler.response_streaming else around
        return getattr(grpc, f"{kind}_rpc_method_handler")(wrapped)


def kind_of(handler: Any) -> str:
    return "_".join(
        "stream" if streams else "unary"
        for streams in (handler.request_streaming, handler.response_streaming)
    )


class Kinds:
    def unary_unary(self, request: bytes, context: Any) -> bytes:
        return b"re:" + request

    def unary_stream(self, request: bytes, context: Any) -> Iterator[bytes]:
        yield b"1:" + request
        yield b"2:" + request

    def stream_unary(self, requests: Iterator[bytes], context: Any) -> bytes:
        return b",".join(requests)

    def stream_stream(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        for request in requests:
            yield b"re:" + request


class AioKinds:
    async def unary_unary(self, request: bytes, context: Any) -> bytes:
        return b"re:" + request

    async def unary_stream(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield b"1:" + request
        yield b"2:" + request

    async def stream_unary(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        return b",".join([request async for request in requests])

    async def stream_stream(
        self, requests: AsyncIterator[bytes], context: Any
    ) -> AsyncIterator[bytes]:
        async for request in requests:
            yield b"re:" + request


def generic(servicer: Any) -> grpc.GenericRpcHandler:
    made = {
        kind: getattr(grpc, f"{kind}_rpc_method_handler")(getattr(servicer, kind)) for kind in KINDS
    }
    return grpc.method_handlers_generic_handler(SERVICE, made)


def threads() -> grpc.Server:
    """The same interceptor twice, so that only `self` tells its two places apart."""
    server = grpc.server(
        futures.ThreadPoolExecutor(2),
        interceptors=[Handing(), Around("outer"), Converting(), Around("inner")],
    )
    server.add_generic_rpc_handlers((generic(Kinds()),))
    return server


def asynchronous() -> Any:
    server = grpc.aio.server(interceptors=[AioHanding(), AioAround()])
    server.add_generic_rpc_handlers((generic(AioKinds()),))
    return server


async def make() -> Any:
    return asynchronous()


def serve() -> None:
    """As tutorials begin: a function that returns when the server has ended."""
    server = threads()
    server.add_insecure_port("127.0.0.1:0")
    server.start()
    server.wait_for_termination()
