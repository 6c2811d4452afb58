"""One RPC through a server and a client of either kind, with whatever the test puts around them."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import grpc
from grpc import aio
from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.instrumentation.grpc._aio_server import OpenTelemetryAioServerInterceptor
from opentelemetry.instrumentation.grpc._server import OpenTelemetryServerInterceptor

import everylayer_grpc
import grpc_aio
import grpc_sync
from grpc_cases import BY_PLACE, Outcome, Shape

KINDS = ("sync", "aio")


class Tls(NamedTuple):
    """What a server and its client show each other."""

    server: grpc.ServerCredentials
    client: grpc.ChannelCredentials


def innermost(kind: str, act: Callable[[Any, Any], Any]) -> Any:
    """Return an interceptor that answers each unary RPC by `act(request, context)`.

    Under asyncio what `act` returns is awaited if it can be.
    """

    def serve(request: Any, context: Any) -> Any:
        return act(request, context)

    async def aio_serve(request: Any, context: Any) -> Any:
        answer = act(request, context)
        return await answer if inspect.isawaitable(answer) else answer

    class Answering(grpc.ServerInterceptor):
        def intercept_service(self, continuation: Any, details: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(serve)

    class AioAnswering(aio.ServerInterceptor):
        async def intercept_service(self, continuation: Any, details: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(aio_serve)

    return Answering() if kind == "sync" else AioAnswering()


def layers(kind: str, *, stock: bool, settings: dict[str, Any]) -> list[Any]:
    """Return the interceptors of a server: stock's, what converts errors, and ours."""
    tracer = trace.get_tracer("stock")
    if kind == "sync":
        begins: list[Any] = [OpenTelemetryServerInterceptor(tracer)] if stock else []  # type: ignore[no-untyped-call]
        ours: Any = everylayer_grpc.server_interceptor(**settings)
        return [*begins, grpc_sync.Recovery(), ours]
    begins = [OpenTelemetryAioServerInterceptor(tracer)] if stock else []  # type: ignore[no-untyped-call]
    ours = everylayer_grpc.aio_server_interceptor(**settings)
    return [*begins, grpc_aio.Recovery(), ours]


def send(
    kind: str,
    interceptors: Sequence[Any],
    shape: Shape,
    place: str,
    metadata: Sequence[tuple[str, str | bytes]] = (),
    client: dict[str, Any] | None = None,
    tls: Tls | None = None,
    within: Context | None = None,
) -> Outcome:
    """Send one RPC to a server of `kind`; return all that its client sees.

    Args:
        kind: of both.
        interceptors: of the server.
        shape: of the RPC.
        place: where it fails.
        metadata: what the client says.
        client: settings of the client's interceptors, None for a client without them.
        tls: what both show each other, None for a connection in the clear.
        within: the client's context, which is not the server's.
    """
    if kind == "sync":
        with (
            grpc_sync.serving(interceptors, tls and tls.server) as address,
            connected(address, tls) as raw,
        ):
            saying = [_Saying(metadata)] if metadata else []
            ours = () if client is None else everylayer_grpc.client_interceptors(**client)
            channel = grpc.intercept_channel(raw, *ours, *saying)
            with entered(within):
                return grpc_sync.call(channel, shape, BY_PLACE[place])
    return asyncio.run(_send(interceptors, shape, place, metadata, client, tls, within))


@contextlib.contextmanager
def entered(within: Context | None) -> Iterator[None]:
    token = None if within is None else context.attach(within)
    yield
    if token is not None:
        context.detach(token)


def connected(address: str, tls: Tls | None) -> grpc.Channel:
    if tls is None:
        return grpc.insecure_channel(address)
    return grpc.secure_channel(address, tls.client)


async def _send(
    interceptors: Sequence[Any],
    shape: Shape,
    place: str,
    metadata: Any,
    client: Any,
    tls: Tls | None,
    within: Context | None,
) -> Outcome:
    saying = [kind(metadata) for kind in _AIO_SAYING] if metadata else []
    ours = [] if client is None else everylayer_grpc.aio_client_interceptors(**client)
    chain: Any = [*saying, *ours]
    async with grpc_aio.serving(interceptors, tls and tls.server) as address:
        if tls is None:
            channel = aio.insecure_channel(address, interceptors=chain)
        else:
            channel = aio.secure_channel(address, tls.client, interceptors=chain)
        async with channel:
            with entered(within):
                return await grpc_aio.call(channel, shape, BY_PLACE[place])


class _Saying(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Adds metadata to each RPC."""

    def __init__(self, metadata: Any) -> None:
        self._metadata = tuple(metadata)

    def _say(self, continuation: Any, details: Any, request: Any) -> Any:
        details = details._replace(metadata=(*(details.metadata or ()), *self._metadata))
        return continuation(details, request)

    intercept_unary_unary: Any = _say
    intercept_unary_stream: Any = _say
    intercept_stream_unary: Any = _say
    intercept_stream_stream: Any = _say


class _AioSaying:
    def __init__(self, metadata: Any) -> None:
        self._metadata = tuple(metadata)

    async def _say(self, continuation: Any, details: Any, request: Any) -> Any:
        said = aio.Metadata(*(details.metadata or ()), *self._metadata)
        return await continuation(details._replace(metadata=said), request)


class _UnaryUnary(_AioSaying, aio.UnaryUnaryClientInterceptor):
    intercept_unary_unary: Any = _AioSaying._say


class _UnaryStream(_AioSaying, aio.UnaryStreamClientInterceptor):
    intercept_unary_stream: Any = _AioSaying._say


class _StreamUnary(_AioSaying, aio.StreamUnaryClientInterceptor):
    intercept_stream_unary: Any = _AioSaying._say


class _StreamStream(_AioSaying, aio.StreamStreamClientInterceptor):
    intercept_stream_stream: Any = _AioSaying._say


_AIO_SAYING = (_UnaryUnary, _UnaryStream, _StreamUnary, _StreamStream)
