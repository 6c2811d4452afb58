"""Mutual TLS: who may connect, and whose claims count, is said by certificates."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

import grpc
import pytest
from opentelemetry import propagate, trace
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace import SpanKind

import everylayer
from contract.telemetry import Telemetry, server_span, server_spans
from everylayer.boundaries.error_context import parse
from everylayer.settings import SettingsError
from everylayer_grpc import BinaryPropagator
from everylayer_grpc.binary import KEY, encode
from grpc_cases import SHAPES, Outcome, Shape
from grpc_pair import KINDS, Tls, innermost, layers, send
from grpc_tls import BILLING, SERVER, SPIFFE, Authority, Pair, mutual

kinds = pytest.mark.parametrize("kind", KINDS)
shapes = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)


class World(NamedTuple):
    """An authority, and those whom it knows."""

    authority: Authority
    server: Pair
    billing: Pair
    other: Pair

    def connection(self, client: Pair | None) -> Tls:
        return mutual(self.authority, self.server, client)


@pytest.fixture(scope="module")
def world() -> World:
    made = Authority()
    return World(
        made, made.issue("server", SERVER), made.issue("billing", BILLING), made.issue("other")
    )


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def settings(*peers: str) -> dict[str, Any]:
    return {"error_context": "trusted", "tenant": "header", "trusted_peers": list(peers)}


def told(outcome: Outcome) -> bool:
    said = dict(outcome.trailing).get("x-error-context")
    assert said is None or parse(said) is not None
    return said is not None


@pytest.mark.parametrize("stock", [False, True], ids=["own", "stock"])
@shapes
@kinds
def test_the_certificate_decides_about_error_context_and_tenant(
    telemetry: Telemetry, world: World, kind: str, shape: Shape, stock: bool
) -> None:
    for client, trusted in ((world.billing, True), (world.other, False)):
        made = layers(kind, stock=stock, settings=settings("x509:CN=billing"))
        metadata = [("x-tenant-id", "acme")]
        tls = world.connection(client)
        outcome = send(kind, made, shape, "servicer", metadata, tls=tls)
        assert outcome.code is grpc.StatusCode.UNKNOWN
        assert told(outcome) is trusted
        attributes = server_span(telemetry.wait(server_spans)).attributes or {}
        assert attributes.get("app.tenant.id") == ("acme" if trusted else None)
        telemetry.clear()


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("x509:CN=billing", True),
        ("x509:subject=CN=billing", True),
        ("x509:DNS=billing.internal", True),
        (f"x509:URI={SPIFFE}", True),
        (SPIFFE, True),
        ("spiffe://shop.example/*", True),
        ("spiffe://shop.example/ns/pay/*", True),
        ("grpc_tls:is_billing", True),
        ("127.0.0.0/8", True),
        ("x509:CN=bill", False),
        ("x509:CN=billing.internal", False),
        ("x509:CN=*", False),
        ("x509:DNS=billing", False),
        ("x509:DNS=" + SPIFFE, False),
        ("spiffe://shop.example/ns/pay", False),
        ("spiffe://shop.example/ns/pay/bill/*", False),
        ("spiffe://shop.example.org/*", False),
    ],
)
def test_each_form_of_a_peer(telemetry: Telemetry, world: World, peer: str, trusted: bool) -> None:
    made = layers("sync", stock=True, settings=settings(peer))
    tls = world.connection(world.billing)
    assert told(send("sync", made, SHAPES[0], "servicer", tls=tls)) is trusted


@pytest.mark.parametrize(
    "peer",
    ["x509:", "x509:CN=", "x509:O=shop", "CN=billing", "spiffe://", "spiffe://*/a", "spiffe:/a"],
)
def test_a_peer_that_is_none_stops_the_app_at_its_start(peer: str) -> None:
    with pytest.raises(SettingsError, match=r"trusted_peers .* 'x509:CN=billing'"):
        everylayer.Settings(trusted_peers=(peer,))


@kinds
def test_a_name_in_metadata_is_no_certificate(telemetry: Telemetry, kind: str) -> None:
    made = layers(kind, stock=True, settings=settings("x509:CN=billing"))
    claims = [("everylayer.identities", "x509:CN=billing"), ("x509_common_name", "billing")]
    assert not told(send(kind, made, SHAPES[0], "servicer", claims))


@pytest.mark.parametrize("who", ["nobody", "another authority"])
@kinds
def test_a_peer_without_a_certificate_is_refused(
    telemetry: Telemetry, world: World, kind: str, who: str
) -> None:
    reached: list[Any] = []
    made = [
        *layers(kind, stock=True, settings=settings("x509:CN=billing")),
        innermost(kind, lambda request, context: reached.append(request) or b""),  # type: ignore[func-returns-value]
    ]
    stranger = None if who == "nobody" else Authority().issue("billing", BILLING)
    outcome = send(kind, made, SHAPES[0], "ok", tls=world.connection(stranger))
    assert outcome.code is grpc.StatusCode.UNAVAILABLE
    assert reached == []
    assert server_spans(telemetry.spans) == []


@kinds
def test_ids_arrive_byte_for_byte(telemetry: Telemetry, world: World, kind: str) -> None:
    seen: dict[str, Any] = {}

    def act(request: Any, context: Any) -> bytes:
        seen.update(dict(context.invocation_metadata()))
        return b""

    before = propagate.get_global_textmap()
    every = [everylayer.Propagator(), everylayer.OpenTracingPropagator(), BinaryPropagator()]
    propagate.set_global_textmap(CompositePropagator(every))
    try:
        made = [*layers(kind, stock=True, settings={}), innermost(kind, act)]
        tls = world.connection(world.billing)
        with trace.get_tracer("test").start_as_current_span("caller"):
            outcome = send(kind, made, SHAPES[0], "ok", client={}, tls=tls)
    finally:
        propagate.set_global_textmap(before)
    assert outcome.code is grpc.StatusCode.OK
    spans = telemetry.wait(lambda found: len(found) >= 3)
    (sender,) = [span for span in spans if span.kind is SpanKind.CLIENT]
    parent = server_span(spans).parent
    assert sender.context is not None
    assert parent is not None
    assert seen[KEY] == encode(sender.context) == encode(parent)
    assert seen[KEY][2:18].hex() == seen["ot-trace-id"] == f"{sender.context.trace_id:032x}"
    assert seen[KEY][19:27].hex() == seen["ot-span-id"] == f"{sender.context.span_id:016x}"
