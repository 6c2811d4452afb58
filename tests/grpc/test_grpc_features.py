"""What the core does for requests over HTTP, for RPCs: tenants, redaction, ids of requests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from grpc import aio
from opentelemetry import propagate
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

import everylayer
import grpc_aio
import grpc_sync
from contract.telemetry import Telemetry, error_events, server_span, server_spans
from grpc_cases import SHAPES, Shape
from grpc_pair import KINDS, innermost, layers, send

HERE = ["127.0.0.0/8", "::1"]
CARD = "4111 1111 1111 1111"
ACME = [("x-tenant-id", "acme")]

kinds = pytest.mark.parametrize("kind", KINDS)
shapes = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
stocks = pytest.mark.parametrize("stock", [False, True], ids=["own", "stock"])


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    before = propagate.get_global_textmap()
    yield
    # A tenant in baggage goes on by the global one.
    propagate.set_global_textmap(before)
    logging.disable(logging.NOTSET)


def by_first_host(request: everylayer.TenantRequest) -> str | None:
    """Resolve a tenant as an app may."""
    assert request.path.startswith("/corpus.S/")
    assert request.peer in ("127.0.0.1", "::1")
    return request.headers.get("x-customer", "").partition(".")[0]


@stocks
@shapes
@kinds
def test_the_tenant_is_on_the_span_and_on_the_error(
    telemetry: Telemetry, kind: str, shape: Shape, stock: bool
) -> None:
    place = "responses" if shape.gives_stream else "servicer"
    made = layers(kind, stock=stock, settings={"tenant": "header"})
    send(kind, made, shape, place, ACME)
    spans = telemetry.wait(server_spans)
    assert (server_span(spans).attributes or {})["app.tenant.id"] == "acme"
    (found,) = error_events(spans)
    assert (found.event.attributes or {})["app.tenant.id"] == "acme"
    assert everylayer.tenant() is None


@pytest.mark.parametrize(
    ("settings", "metadata", "wanted"),
    [
        ({}, ACME, None),
        ({"tenant": "header"}, [], None),
        ({"tenant": "header"}, [("x-tenant-id", "a b")], None),
        ({"tenant": "header"}, [*ACME, ("x-tenant-id", "other")], None),
        ({"tenant": "header", "tenant_header": "x-shop"}, [("x-shop", "acme")], "acme"),
        ({"tenant": "header", "trusted_peers": HERE}, ACME, "acme"),
        ({"tenant": "header", "trusted_peers": ["10.0.0.0/8"]}, ACME, None),
        (
            {"tenant": "resolver", "tenant_resolver": by_first_host},
            [("x-customer", "acme.example")],
            "acme",
        ),
        (
            {"tenant": "header", "tenant_baggage": "shop", "trusted_peers": HERE},
            [("baggage", "shop=acme")],
            "acme",
        ),
    ],
)
@kinds
def test_where_the_tenant_comes_from(
    telemetry: Telemetry, kind: str, settings: Any, metadata: Any, wanted: str | None
) -> None:
    seen: list[str | None] = []

    def act(request: Any, context: Any) -> bytes:
        seen.append(everylayer.tenant())
        return b""

    made = [*layers(kind, stock=True, settings=settings), innermost(kind, act)]
    outcome = send(kind, made, SHAPES[0], "ok", metadata)
    assert outcome.code is grpc.StatusCode.OK
    assert seen == [wanted]
    span = server_span(telemetry.wait(server_spans))
    assert (span.attributes or {}).get("app.tenant.id") == wanted


def test_each_step_of_a_stream_is_the_tenants(telemetry: Telemetry) -> None:
    seen: list[str | None] = []

    class Streaming(grpc.ServerInterceptor):
        def intercept_service(self, continuation: Any, details: Any) -> Any:
            def stream(request: Any, context: Any) -> Iterator[bytes]:
                try:
                    for _ in range(3):
                        seen.append(everylayer.tenant())
                        yield b""
                finally:
                    seen.append(everylayer.tenant())

            return grpc.unary_stream_rpc_method_handler(stream)

    made = [*layers("sync", stock=True, settings={"tenant": "header"}), Streaming()]
    outcome = send("sync", made, SHAPES[1], "ok", ACME)
    assert len(outcome.messages) == 3
    assert seen == ["acme"] * 4


def test_each_step_of_a_stream_is_the_tenants_under_asyncio(telemetry: Telemetry) -> None:
    seen: list[str | None] = []

    class Streaming(aio.ServerInterceptor):
        async def intercept_service(self, continuation: Any, details: Any) -> Any:
            async def stream(request: Any, context: Any) -> AsyncIterator[bytes]:
                try:
                    for _ in range(3):
                        seen.append(everylayer.tenant())
                        yield b""
                        await asyncio.sleep(0)
                finally:
                    seen.append(everylayer.tenant())

            return grpc.unary_stream_rpc_method_handler(stream)

    made = [*layers("aio", stock=True, settings={"tenant": "header"}), Streaming()]
    outcome = send("aio", made, SHAPES[1], "ok", ACME)
    assert len(outcome.messages) == 3
    assert seen == ["acme"] * 4


@kinds
def test_the_request_says_its_id_and_the_attempt(telemetry: Telemetry, kind: str) -> None:
    metadata = [("x-request-id", "r-17"), ("x-envoy-attempt-count", "2")]
    send(kind, layers(kind, stock=True, settings={}), SHAPES[0], "servicer", metadata)
    spans = telemetry.wait(server_spans)
    (found,) = error_events(spans)
    for attributes in (found.event.attributes or {}, server_span(spans).attributes or {}):
        assert attributes["everylayer.request.id"] == "r-17"
        assert attributes["everylayer.request.attempt"] == 2


def refusing(kind: str, how: str, details: str) -> Any:
    """Return an interceptor that answers with `details`, by an abort or without an exception."""

    def act(request: Any, context: Any) -> Any:
        if how == "abort":
            return context.abort(grpc.StatusCode.INTERNAL, details)
        context.set_code(grpc.StatusCode.INTERNAL)
        context.set_details(details)
        return b""

    return innermost(kind, act)


def texts(spans: tuple[ReadableSpan, ...]) -> str:
    found: list[object] = []
    for span in spans:
        found += [span.status.description, span.attributes]
        found += [event.attributes and dict(event.attributes) for event in span.events]
    return str([dict(one) if hasattr(one, "items") else one for one in found])  # type: ignore[call-overload]


@pytest.mark.parametrize("how", ["abort", "code"])
@kinds
def test_what_we_write_of_details_is_redacted_and_what_the_client_gets_is_not(
    telemetry: Telemetry, kind: str, how: str
) -> None:
    details = f"card {CARD} was declined"
    made = [*layers(kind, stock=False, settings={}), refusing(kind, how, details)]
    outcome = send(kind, made, SHAPES[0], "ok", client={})
    assert outcome.code is grpc.StatusCode.INTERNAL
    assert outcome.details == details
    spans = telemetry.wait(lambda found: len(found) >= 2)
    assert {span.kind for span in spans} == {SpanKind.SERVER, SpanKind.CLIENT}
    assert all(span.status.status_code is StatusCode.ERROR for span in spans)
    assert all("was declined" in (span.status.description or "") for span in spans)
    assert CARD not in texts(spans)


@kinds
def test_the_rules_of_the_server_are_its_own(telemetry: Telemetry, kind: str) -> None:
    for settings, shown in (({"redaction": "off"}, True), ({"max_description_chars": 16}, False)):
        made = layers(kind, stock=False, settings=settings)
        send(kind, [*made, refusing(kind, "code", f"card {CARD}")], SHAPES[0], "ok")
        described = server_span(telemetry.wait(server_spans)).status.description or ""
        assert (CARD in described) is shown
        assert shown or len(described) <= len("INTERNAL: ") + 16
        telemetry.clear()


@stocks
@kinds
def test_the_error_context_is_redacted_too(telemetry: Telemetry, kind: str, stock: bool) -> None:
    def act(request: Any, context: Any) -> Any:
        raise ValueError(f"card {CARD} was declined")

    settings = {"error_context": "trusted", "trusted_peers": HERE}
    made = [*layers(kind, stock=stock, settings=settings), innermost(kind, act)]
    outcome = send(kind, made, SHAPES[0], "servicer")
    said = str(dict(outcome.trailing)["x-error-context"])
    assert "declined" in said
    assert "4111" not in said


def test_a_server_without_any_of_it_has_nothing_around_its_seam(telemetry: Telemetry) -> None:
    """The happy path pays nothing: one of ours comes first, and it is the seam."""
    for kind, kit in (("sync", grpc_sync), ("aio", grpc_aio)):
        chain = arranged(kit, layers(kind, stock=True, settings={}))
        assert type(chain[0]).__name__ in ("ServerSeam", "AioServerSeam")
        known = {"tenant": "header"}
        assert type(arranged(kit, layers(kind, stock=True, settings=known))[0]).__name__ in (
            "Around",
            "AioAround",
        )


def arranged(kit: Any, given: Any) -> Any:
    from everylayer_grpc import patches

    return (patches._arranged if kit is grpc_sync else patches._arranged_aio)(given)
