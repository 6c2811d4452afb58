"""One arm's gRPC server in a process of its own; it tells its CPU time when asked.

`python -m benchmarks.grpc_server ARM MODE LAYERS`
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import AsyncIterator, Iterator
from concurrent import futures
from typing import Any

import grpc
from grpc import aio
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider


class Layer(grpc.ServerInterceptor):
    """Does nothing around each RPC, as an interceptor that measures or checks would."""

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = continuation(details)
        if handler.response_streaming:
            return handler
        inner = handler.unary_unary

        def around(request: Any, context: Any) -> Any:
            return inner(request, context)

        return grpc.unary_unary_rpc_method_handler(
            around, handler.request_deserializer, handler.response_serializer
        )


class AioLayer(aio.ServerInterceptor):
    """As `Layer`, for asyncio."""

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = await continuation(details)
        if handler.response_streaming:
            return handler
        inner = handler.unary_unary

        async def around(request: Any, context: Any) -> Any:
            return await inner(request, context)

        return grpc.unary_unary_rpc_method_handler(
            around, handler.request_deserializer, handler.response_serializer
        )


def cpu(request: bytes, context: Any) -> bytes:
    return str(time.process_time_ns()).encode()


def echo(request: bytes, context: Any) -> bytes:
    return request


def talk(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
    yield from requests


async def aio_cpu(request: bytes, context: Any) -> bytes:
    return cpu(request, context)


async def aio_echo(request: bytes, context: Any) -> bytes:
    return request


async def aio_talk(requests: Any, context: Any) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request


def chain(arm: str, layers: int, *, asynchronous: bool) -> list[Any]:
    """Return the interceptors of an arm: `bare`, `stock` or `everylayer`, which is beside it."""
    found: list[Any] = [AioLayer() if asynchronous else Layer() for _ in range(layers)]
    if arm == "everylayer":
        import everylayer_grpc

        ours = "aio_server_interceptor" if asynchronous else "server_interceptor"
        found.append(getattr(everylayer_grpc, ours)())
    if arm != "bare":
        from opentelemetry.instrumentation import grpc as stock

        found.insert(
            0,
            stock.aio_server_interceptor() if asynchronous else stock.server_interceptor(),  # type: ignore[no-untyped-call]
        )
    return found


def handlers(functions: tuple[Any, Any, Any]) -> Any:
    unary = grpc.unary_unary_rpc_method_handler
    one, told, stream = functions
    methods: dict[str, Any] = {
        "Echo": unary(one),
        "Cpu": unary(told),
        "Talk": grpc.stream_stream_rpc_method_handler(stream),
    }
    return (grpc.method_handlers_generic_handler("bench.S", methods),)


async def serve_aio(arm: str, layers: int) -> None:
    server = aio.server(interceptors=chain(arm, layers, asynchronous=True))
    server.add_generic_rpc_handlers(handlers((aio_echo, aio_cpu, aio_talk)))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(None)


def serve(arm: str, layers: int) -> None:
    interceptors = chain(arm, layers, asynchronous=False)
    server = grpc.server(futures.ThreadPoolExecutor(2), interceptors=interceptors)
    server.add_generic_rpc_handlers(handlers((echo, cpu, talk)))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(None).wait()


if __name__ == "__main__":
    trace.set_tracer_provider(TracerProvider())
    gc.disable()  # One run of it more or less would be one per cent of so few RPCs.
    _, chosen, mode, count = sys.argv
    if mode == "asyncio":
        asyncio.run(serve_aio(chosen, int(count)))
    else:
        serve(chosen, int(count))
