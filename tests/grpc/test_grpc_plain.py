"""Plain methods of an asyncio server, which gRPC runs in threads: what they say is known."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from grpc import aio
from opentelemetry.trace import StatusCode

import everylayer_grpc
from contract.telemetry import Telemetry, error_events, server_span, server_spans

Trailing = list[tuple[str, Any]]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


async def _send(behavior: Callable[..., Any], ours: list[Any]) -> tuple[Any, str, Trailing]:
    pool = futures.ThreadPoolExecutor(1)
    server = aio.server(pool, interceptors=ours)
    methods: dict[str, Any] = {"M": grpc.unary_unary_rpc_method_handler(behavior)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("plain.S", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        rpc: Any = channel.unary_unary("/plain.S/M")
        going = rpc(b"", timeout=10)
        with contextlib.suppress(grpc.RpcError):
            await going
        trailing = [(pair[0], pair[1]) for pair in await going.trailing_metadata()]
        found = await going.code(), await going.details(), trailing
    # A thread that aborts waits for this loop, also after the client has been answered.
    await asyncio.to_thread(pool.shutdown)
    await server.stop(None)
    return found


def send(behavior: Callable[..., Any], **settings: Any) -> tuple[Any, str, Trailing]:
    """Return what the client sees, which is the same without ours."""
    bare = asyncio.run(_send(behavior, []))
    ours = asyncio.run(_send(behavior, [everylayer_grpc.aio_server_interceptor(**settings)]))
    assert ours[:2] == bare[:2]
    assert [pair for pair in ours[2] if pair in bare[2]] == bare[2]
    return ours


def answers(request: bytes, context: Any) -> bytes:
    context.set_code(grpc.StatusCode.DATA_LOSS)
    context.set_details("gone")
    return b""


_returned: list[bytes] = []


def refuses(request: bytes, context: Any) -> bytes:
    context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
    _returned.append(request)
    return b""


def not_found(request: bytes, context: Any) -> bytes:
    context.set_code(grpc.StatusCode.NOT_FOUND)
    context.set_trailing_metadata((("kept", "yes"),))
    raise LookupError("no such thing")


def fails(request: bytes, context: Any) -> bytes:
    context.set_trailing_metadata((("kept", "yes"),))
    raise LookupError(context.peer()[:4])


def test_a_code_without_an_error_fails_the_span(telemetry: Telemetry) -> None:
    assert send(answers)[0] is grpc.StatusCode.DATA_LOSS
    span = server_span(telemetry.wait(server_spans))
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "DATA_LOSS: gone"
    assert (span.attributes or {})["rpc.status_code"] == "DATA_LOSS"


@pytest.mark.parametrize(
    ("behavior", "said", "code", "status"),
    [
        (refuses, "UNAVAILABLE: not now", "UNAVAILABLE", StatusCode.ERROR),
        (fails, "ipv4", "UNKNOWN", StatusCode.ERROR),
    ],
)
def test_an_error_has_its_code(
    telemetry: Telemetry, behavior: Any, said: str, code: str, status: StatusCode
) -> None:
    send(behavior)
    spans = telemetry.wait(server_spans)
    span = server_span(spans)
    if behavior is refuses and _returned:  # grpcio 1.60 raises nothing there.
        assert (span.status.description, error_events(spans)) == (said, [])
    else:
        (found,) = error_events(spans)
        assert (found.event.attributes or {})["exception.message"] == said
    assert span.status.status_code is status
    assert (span.attributes or {})["rpc.status_code"] == code


def test_a_clients_code_beside_an_error_is_handled(telemetry: Telemetry) -> None:
    code = send(not_found)[0]
    span = server_span(telemetry.wait(server_spans))
    (found,) = error_events((span,))
    assert (found.event.attributes or {})["exception.message"] == "no such thing"
    assert (found.event.attributes or {})["everylayer.handled"] is True
    assert (span.attributes or {})["rpc.status_code"] == code.name == "NOT_FOUND"
    assert span.status.status_code is StatusCode.UNSET


def test_the_client_is_told_where_it_began(telemetry: Telemetry) -> None:
    trailing = send(fails, error_context="send")[2]
    assert [key for key, _ in trailing] == ["kept", "x-error-context"]
