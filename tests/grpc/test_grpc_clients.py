"""Clients: how an RPC ended, and the error that the app got, on one client span."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from grpc import aio
from opentelemetry.instrumentation.grpc import GrpcAioInstrumentorClient, GrpcInstrumentorClient
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

import everylayer_grpc
import grpc_sync
from contract.telemetry import Telemetry, error_events, server_spans, session, tree
from grpc_aio import READ, silence
from grpc_cases import BY_PLACE, SHAPES, Outcome, Shape

PLACES = ("ok", "abort", "not_found", "servicer", "cancel", "deadline")
CODES = {"servicer": "UNKNOWN", "abort": "UNAVAILABLE", "not_found": "NOT_FOUND"}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with session(), grpc_sync.serving([]) as made:
        yield made


@pytest.fixture
def instrumented() -> Iterator[None]:
    both = (GrpcInstrumentorClient(), GrpcAioInstrumentorClient())  # type: ignore[no-untyped-call]
    for instrumentor in both:
        instrumentor.instrument()
    yield
    for instrumentor in both:
        instrumentor.uninstrument()


def client_spans(spans: Any) -> list[ReadableSpan]:
    return [span for span in spans if span.kind is SpanKind.CLIENT]


def check(telemetry: Telemetry, place: str, *, own: bool) -> None:
    spans = telemetry.wait(client_spans)
    assert len(client_spans(spans)) == 1, tree(spans)
    (span,) = client_spans(spans)
    attributes = span.attributes or {}
    events = error_events(spans)
    if place == "ok":
        assert span.status.status_code is StatusCode.UNSET
        assert not events
        assert attributes["rpc.grpc.status_code"] == 0
        return
    wanted = {"cancel": "CANCELLED", "deadline": "DEADLINE_EXCEEDED", **CODES}[place]
    assert attributes["rpc.status_code"] == wanted
    if place == "cancel":
        assert not events
        assert not own or span.status.status_code is StatusCode.UNSET
        return
    assert span.status.status_code is StatusCode.ERROR
    (found,) = events
    message = str((found.event.attributes or {})["exception.message"])
    assert message.startswith(f"{wanted}: ")
    assert span.status.description in (message, message.removeprefix(f"{wanted}: "))


def sync_call(address: str, shape: Shape, place: str) -> Outcome:
    with grpc.insecure_channel(address) as raw:
        channel = grpc.intercept_channel(raw, *everylayer_grpc.client_interceptors())
        return grpc_sync.call(channel, shape, BY_PLACE[place])


async def requests() -> AsyncIterator[bytes]:
    for request in grpc_sync.REQUESTS:
        yield request


async def aio_call(address: str, shape: Shape, place: str) -> Outcome:
    ours = everylayer_grpc.aio_client_interceptors()
    # Stock's stand outside ours, whichever comes first.
    async with aio.insecure_channel(address, interceptors=ours) as channel:
        rpc: Any = getattr(channel, shape.name)(f"/corpus.S/{shape.name}-{place}")
        # A server that answers early: its answer may not be seen if a request crosses it.
        stream = requests if place in READ else silence
        request: Any = stream() if shape.takes_stream else b"1"
        call = rpc(request, timeout=0.08 if place == "deadline" else 10)
        messages: list[bytes] = []
        try:
            if shape.gives_stream:
                async for message in call:
                    messages.append(message)
                    if place == "cancel":
                        call.cancel()
            else:
                if place == "cancel":
                    await asyncio.sleep(0.02)
                    call.cancel()
                messages.append(await call)
        except (grpc.RpcError, asyncio.CancelledError) as error:
            code = error.code() if isinstance(error, grpc.RpcError) else None
            return Outcome(code, None, (), tuple(messages))
        return Outcome(grpc.StatusCode.OK, None, (), tuple(messages))


shapes = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)


@pytest.mark.parametrize("place", PLACES)
@shapes
def test_one_span_of_ours_says_how_it_ended(
    telemetry: Telemetry, address: str, shape: Shape, place: str
) -> None:
    sync_call(address, shape, place)
    check(telemetry, place, own=True)


@pytest.mark.parametrize("place", ["ok", "abort", "not_found", "servicer"])
@shapes
def test_stocks_span_says_so_too_and_there_is_no_other(
    telemetry: Telemetry, address: str, shape: Shape, place: str, instrumented: None
) -> None:
    with grpc.insecure_channel(address) as raw:
        channel = grpc.intercept_channel(raw, *everylayer_grpc.client_interceptors())
        rpc: Any = getattr(channel, shape.name)(f"/corpus.S/{shape.name}-{place}")
        request: Any = iter(grpc_sync.REQUESTS) if shape.takes_stream else b"1"
        try:
            answer = rpc(request, timeout=10)
            assert place == "ok" or shape.gives_stream
            assert not shape.gives_stream or list(answer)
        except grpc.RpcError:
            assert place != "ok"
    check(telemetry, place, own=False)


@pytest.mark.parametrize("place", PLACES)
@shapes
def test_under_asyncio_one_span_of_ours_says_how_it_ended(
    telemetry: Telemetry, address: str, shape: Shape, place: str
) -> None:
    asyncio.run(aio_call(address, shape, place))
    check(telemetry, place, own=True)


@pytest.mark.parametrize("place", ["ok", "abort", "not_found", "servicer"])
@shapes
def test_under_asyncio_stocks_span_says_so_too(
    telemetry: Telemetry, address: str, shape: Shape, place: str, instrumented: None
) -> None:
    asyncio.run(aio_call(address, shape, place))
    check(telemetry, place, own=False)


def test_what_fails_before_the_call_is_on_the_span(telemetry: Telemetry, address: str) -> None:
    class Failing(grpc.UnaryUnaryClientInterceptor):
        def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
            raise LookupError("no token")

    with grpc.insecure_channel(address) as raw:
        inner = grpc.intercept_channel(raw, Failing())
        channel = grpc.intercept_channel(inner, *everylayer_grpc.client_interceptors())
        rpc: Any = channel.unary_unary("/corpus.S/unary_unary-ok")
        with pytest.raises(LookupError):
            rpc(b"")
    spans = telemetry.wait(client_spans)
    (found,) = error_events(spans)
    assert (found.event.attributes or {})["exception.type"] == "LookupError"


def test_client_and_server_are_one_trace(telemetry: Telemetry) -> None:
    with grpc_sync.serving([everylayer_grpc.server_interceptor()]) as served:
        sync_call(served, SHAPES[3], "servicer")
        spans = telemetry.wait(lambda found: client_spans(found) and server_spans(found))
    (client,), (server,) = client_spans(spans), server_spans(spans)
    assert client.context is not None
    assert server.parent is not None
    assert server.parent.span_id == client.context.span_id


@pytest.mark.parametrize("stock", [False, True], ids=["own", "stock"])
def test_what_a_servicer_deals_with_is_on_the_clients_span_alone(
    telemetry: Telemetry, address: str, stock: bool, request: pytest.FixtureRequest
) -> None:
    if stock:
        request.getfixturevalue("instrumented")

    class Calling(grpc.ServerInterceptor):
        def intercept_service(self, continuation: Any, details: Any) -> Any:
            def call(request: Any, context: Any) -> Any:
                # One that waits: its end is seen in this thread.
                with pytest.raises(grpc.RpcError):
                    inner(b"", timeout=10)
                return b"instead"

            return grpc.unary_unary_rpc_method_handler(call)

    front = [everylayer_grpc.server_interceptor(), Calling()]
    with (
        grpc_sync.serving(front) as before,
        grpc.insecure_channel(before) as channel,
        grpc.insecure_channel(address) as raw,
    ):
        through = grpc.intercept_channel(raw, *everylayer_grpc.client_interceptors())
        inner: Any = through.unary_unary("/corpus.S/unary_unary-servicer")
        rpc: Any = channel.unary_unary("/corpus.S/unary_unary-ok")
        assert rpc(b"", timeout=10) == b"instead"
    spans = telemetry.wait(server_spans)
    (server,) = server_spans(spans)
    assert not server.events
    assert server.status.status_code is StatusCode.UNSET
    (found,) = error_events(spans)
    assert found.span.kind is SpanKind.CLIENT
