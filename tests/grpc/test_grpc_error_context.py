"""Where an error began: told in trailing metadata, and found by who called."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from grpc import aio
from opentelemetry.trace import SpanKind, format_span_id, format_trace_id

import everylayer_grpc
import grpc_aio
import grpc_sync
from contract.faults import PLAIN
from contract.telemetry import Telemetry, error_events, server_span
from everylayer.boundaries.error_context import ErrorContext, parse
from grpc_cases import SHAPES, Outcome, Shape
from grpc_pair import KINDS, innermost, layers, send

KEY = "x-error-context"
HERE = ["127.0.0.0/8", "::1"]
# What the error is that each place fails with; None: the client is told nothing.
TOLD = {
    "ok": None,
    "servicer": PLAIN.type,
    "converted": PLAIN.type,
    "converted_abort": PLAIN.type,
    "converted_client": None,
    "swallowed": None,
    "responses": PLAIN.type,
    "abort": "abort",
    "not_found": None,
    "coded": None,
}
ABORTED = {"sync": "Exception", "aio": "AbortError"}

kinds = pytest.mark.parametrize("kind", KINDS)
shapes = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def told(outcome: Outcome) -> ErrorContext | None:
    said = [value for key, value in outcome.trailing if key == KEY]
    assert len(said) <= 1
    return parse(said[0]) if said else None


@pytest.mark.parametrize("stock", [False, True], ids=["own", "stock"])
@pytest.mark.parametrize("place", TOLD)
@shapes
@kinds
def test_a_failing_rpc_tells_where_its_error_began(
    telemetry: Telemetry, kind: str, shape: Shape, place: str, stock: bool
) -> None:
    if place == "responses" and not shape.gives_stream:
        pytest.skip("no responses to fail")
    made = layers(kind, stock=stock, settings={"error_context": "send"})
    outcome = send(kind, made, shape, place)
    found, wanted = told(outcome), TOLD[place]
    assert ("kept", place) in outcome.trailing
    if wanted is None:
        assert found is None
        return
    assert found is not None
    assert found.length == 1
    wanted = ABORTED[kind] if wanted == "abort" else wanted
    assert found.origin.type.rpartition(".")[2] == wanted.rpartition(".")[2]
    # Under asyncio an abort is told before it is raised: by the function that aborts, and Python
    # 3.10 does not know what that one stands in.
    assert "servicer" in found.origin.layer or (kind, found.origin.layer) == ("aio", "act")
    assert found.origin.message == ""
    context = server_span(telemetry.wait(bool)).context
    assert context is not None
    assert found.origin.trace_id == format_trace_id(context.trace_id)
    assert found.origin.span_id == format_span_id(context.span_id)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, None),
        ({"error_context": "trusted"}, None),
        ({"error_context": "trusted", "trusted_peers": ["10.0.0.0/8"]}, None),
        ({"error_context": "trusted", "trusted_peers": HERE}, "UNAVAILABLE: no way"),
        ({"error_context": "send", "trusted_peers": HERE}, "UNAVAILABLE: no way"),
        ({"error_context": "send"}, ""),
        ({"error_context": "send", "enabled": False}, None),
    ],
)
@kinds
def test_the_settings_decide_who_is_told(
    telemetry: Telemetry, kind: str, settings: dict[str, Any], message: str | None
) -> None:
    made = layers(kind, stock=True, settings=settings)
    found = told(send(kind, made, SHAPES[0], "abort"))
    assert (None if found is None else found.origin.message) == (
        # What a synchronous abort raises says nothing itself.
        "" if message and kind == "sync" else message
    )


@pytest.mark.parametrize("header", ["where!", "where-bin", "grpc-where"])
@kinds
def test_a_name_that_grpc_cannot_carry_disturbs_nothing(
    telemetry: Telemetry, kind: str, header: str
) -> None:
    settings = {"error_context": "send", "error_context_header": header}
    outcome = send(kind, layers(kind, stock=True, settings=settings), SHAPES[0], "abort")
    assert outcome.code is grpc.StatusCode.UNAVAILABLE
    assert outcome.trailing == (("kept", "abort"),)


@pytest.mark.parametrize("place", ["servicer", "abort", "converted"])
@shapes
@kinds
def test_the_clients_span_names_the_remote_error_and_is_linked(
    telemetry: Telemetry, kind: str, shape: Shape, place: str
) -> None:
    made = layers(kind, stock=True, settings={"error_context": "send"})
    outcome = send(kind, made, shape, place, client={"error_context": "send"})
    assert outcome.code is not grpc.StatusCode.OK
    spans = telemetry.wait(lambda found: len(found) >= 2)
    (client,) = [span for span in spans if span.kind is SpanKind.CLIENT]
    server = server_span(spans)
    assert client.context is not None
    assert server.context is not None
    attributes = client.attributes or {}
    assert attributes["everylayer.upstream.trace_id"] == format_trace_id(server.context.trace_id)
    assert attributes["everylayer.upstream.span_id"] == format_span_id(server.context.span_id)
    assert attributes["everylayer.upstream.hops"] == 1
    (link,) = client.links
    assert link.context.span_id == server.context.span_id
    assert (link.attributes or {})["everylayer.link"] == "upstream"
    (event,) = error_events([client])
    assert (event.event.attributes or {})["everylayer.upstream.type"]


@kinds
def test_a_client_that_asks_for_nothing_reads_nothing(
    telemetry: Telemetry, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("everylayer_grpc.remote._keys", set())
    made = layers(kind, stock=True, settings={"error_context": "send"})
    assert told(send(kind, made, SHAPES[0], "servicer", client={}))
    spans = telemetry.wait(lambda found: len(found) >= 2)
    (client,) = [span for span in spans if span.kind is SpanKind.CLIENT]
    assert not client.links
    assert not [key for key in client.attributes or {} if key.startswith("everylayer.upstream")]


@kinds
def test_what_comes_with_a_refusal_is_not_read(telemetry: Telemetry, kind: str) -> None:
    """As over HTTP, where no 4xx tells anything."""

    def act(request: Any, context: Any) -> bytes:
        context.set_trailing_metadata(((KEY, "v=1,type=a.B;layer=c"),))
        context.set_code(grpc.StatusCode.NOT_FOUND)
        return b""

    made = [*layers(kind, stock=True, settings={}), innermost(kind, act)]
    outcome = send(kind, made, SHAPES[0], "ok", client={"error_context": "send"})
    assert told(outcome)
    spans = telemetry.wait(lambda found: len(found) >= 2)
    (client,) = [span for span in spans if span.kind is SpanKind.CLIENT]
    assert not [key for key in client.attributes or {} if key.startswith("everylayer.upstream")]


def test_a_service_in_between_puts_its_hop_before_the_others(telemetry: Telemetry) -> None:
    """One fails, who calls it fails for that, and the client in front is told both."""
    sent = {"error_context": "send"}
    with (
        grpc_sync.serving(layers("sync", stock=True, settings=sent)) as behind,
        grpc.insecure_channel(behind) as raw,
    ):
        channel = grpc.intercept_channel(raw, *everylayer_grpc.client_interceptors(**sent))
        inner: Any = channel.unary_unary("/corpus.S/unary_unary-servicer")

        class Calling(grpc.ServerInterceptor):
            def intercept_service(self, continuation: Any, details: Any) -> Any:
                def call(request: Any, context: Any) -> Any:
                    try:
                        return inner(request, timeout=10)
                    except grpc.RpcError as error:
                        raise LookupError("no stock") from error

                return grpc.unary_unary_rpc_method_handler(call)

        front = [*layers("sync", stock=True, settings=sent), Calling()]
        found = told(send("sync", front, SHAPES[0], "ok"))
    check_chain(found)


def test_a_service_in_between_does_so_under_asyncio(telemetry: Telemetry) -> None:
    found = told(asyncio.run(through_two()))
    check_chain(found)


async def through_two() -> Outcome:
    sent = {"error_context": "send"}
    behind = layers("aio", stock=True, settings=sent)
    ours = everylayer_grpc.aio_client_interceptors(**sent)
    async with (
        grpc_aio.serving(behind) as address,
        aio.insecure_channel(address, interceptors=ours) as channel,
    ):
        inner: Any = channel.unary_unary("/corpus.S/unary_unary-servicer")

        class Calling(aio.ServerInterceptor):
            async def intercept_service(self, continuation: Any, details: Any) -> Any:
                async def call(request: Any, context: Any) -> Any:
                    try:
                        return await inner(request, timeout=10)
                    except grpc.RpcError as error:
                        raise LookupError("no stock") from error

                return grpc.unary_unary_rpc_method_handler(call)

        front = [*layers("aio", stock=True, settings=sent), Calling()]
        async with grpc_aio.serving(front) as before, aio.insecure_channel(before) as last:
            call: Any = last.unary_unary("/corpus.S/unary_unary-ok")
            with pytest.raises(aio.AioRpcError) as caught:
                await call(b"", timeout=10)
    trailing = tuple((key, value) for key, value in caught.value.trailing_metadata())
    return Outcome(caught.value.code(), None, trailing, ())


def check_chain(found: ErrorContext | None) -> None:
    assert found is not None
    assert [hop.type for hop in found.hops] == ["LookupError", PLAIN.type]
    assert found.hops[0].layer in ("Calling", "call")
    assert "servicer" in found.origin.layer
