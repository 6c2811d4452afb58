"""Websockets, lifespans, and the server span that is made after the fact."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.instrumentation.utils import (
    suppress_http_instrumentation,
    suppress_instrumentation,
)
from opentelemetry.trace import SpanKind

from contract.drive import run_asgi, scope
from contract.expect import Expected, check
from contract.faults import PLAIN, fault_site
from contract.telemetry import Telemetry, error_events, server_span, server_spans
from everylayer import asgi_span, http_span
from everylayer.asgi import Probe, Seam
from everylayer.layers import Layer
from everylayer.settings import Settings

App = Callable[[Any, Any, Any], Any]
VIEW = Layer("view", "view", 2)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def fail(scope: Any, receive: Any, send: Any) -> None:
    fault_site(PLAIN)


def drive(app: App, request: dict[str, Any]) -> tuple[list[Any], BaseException | None]:
    """Run `app` on a scope that is no HTTP request; return what it sent and raised."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": f"{request['type']}.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    async def main() -> BaseException | None:
        try:
            await app(request, receive, send)
        except BaseException as exc:
            return exc
        return None

    return sent, asyncio.run(main())


def websocket() -> dict[str, Any]:
    return {**scope("/chat"), "type": "websocket", "scheme": "ws", "subprotocols": []}


@pytest.mark.parametrize("stock", [True, False])
@pytest.mark.parametrize("accepted", [True, False])
def test_a_websocket_that_fails(telemetry: Telemetry, stock: bool, accepted: bool) -> None:
    async def view(scope: Any, receive: Any, send: Any) -> None:
        if accepted:
            await send({"type": "websocket.accept"})
        fault_site(PLAIN)

    app: App = Seam(Probe(view, VIEW), Settings())
    sent, raised = drive(OpenTelemetryMiddleware(app) if stock else app, websocket())
    assert len(sent) == accepted
    assert isinstance(raised, ValueError)
    check(telemetry.spans, PLAIN, Expected(layer="view"))


@pytest.mark.parametrize("accepted", [True, False])
def test_a_websocket_that_is_closed_for_an_error(telemetry: Telemetry, accepted: bool) -> None:
    """No probe between: closing inside `except` shows the error."""

    async def view(scope: Any, receive: Any, send: Any) -> None:
        if accepted:
            await send({"type": "websocket.accept"})
        try:
            fault_site(PLAIN)
        except ValueError:
            await send({"type": "websocket.close", "code": 1011})

    _, raised = drive(Seam(view, Settings(), layer=VIEW), websocket())
    assert raised is None
    check(telemetry.spans, PLAIN, Expected(layer="view", handled=True, status="UNSET"))


@pytest.mark.parametrize(("status", "handled"), [(401, True), (503, False)])
def test_a_websocket_that_is_refused_with_a_response(
    telemetry: Telemetry, status: int, handled: bool
) -> None:
    async def view(scope: Any, receive: Any, send: Any) -> None:
        try:
            fault_site(PLAIN)
        except ValueError:
            await send({"type": "websocket.http.response.start", "status": status, "headers": []})

    drive(Seam(view, Settings(), layer=VIEW), websocket())
    expected = Expected(handled=handled, status="UNSET" if handled else "ERROR")
    check(telemetry.spans, PLAIN, expected)


def test_a_websocket_that_ends_well(telemetry: Telemetry) -> None:
    async def view(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close"})

    drive(Seam(view, Settings()), websocket())
    assert telemetry.spans == ()


def test_a_lifespan_that_fails_is_no_server_span(telemetry: Telemetry) -> None:
    _, raised = drive(Seam(Probe(fail, VIEW), Settings()), {"type": "lifespan", "asgi": {}})
    assert isinstance(raised, ValueError)
    (span,) = telemetry.spans
    assert (span.name, span.kind) == ("lifespan", SpanKind.INTERNAL)
    assert span.status.description == PLAIN.message
    assert len(error_events([span])) == 1


def test_a_lifespan_that_reports_its_failure(telemetry: Telemetry) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            fault_site(PLAIN)
        except ValueError:
            await send({"type": "lifespan.startup.failed", "message": "no database"})

    sent, _ = drive(Seam(app, Settings(), layer=VIEW), {"type": "lifespan", "asgi": {}})
    assert len(sent) == 1
    (span,) = telemetry.spans
    assert span.status.description == PLAIN.message


def test_the_server_span_made_afterwards(telemetry: Telemetry) -> None:
    request = scope("/shop?q=1", [("traceparent", TRACEPARENT)], "POST")
    run_asgi(Seam(Probe(fail, VIEW), Settings()), request)
    span = server_span(telemetry.spans)
    assert span.name == "POST /shop"
    assert span.context is not None
    assert f"{span.context.trace_id:032x}" == TRACEPARENT[3:35]
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == TRACEPARENT[36:52]
    assert span.parent.is_remote
    values = dict(span.attributes or {})
    assert values["http.method"] == "POST"
    assert values["http.target"] == "/shop"
    assert "http.status_code" not in values
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.start_time <= span.events[0].timestamp <= span.end_time


def test_the_server_span_made_afterwards_knows_the_status(telemetry: Telemetry) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            fault_site(PLAIN)
        except ValueError:
            await send({"type": "http.response.start", "status": 503, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    run_asgi(Seam(app, Settings()), scope("/"))
    assert dict(server_span(telemetry.spans).attributes or {})["http.status_code"] == 503
    check(telemetry.spans, PLAIN, Expected())


def test_stock_that_leaves_a_url_out_is_not_overruled_by_two(telemetry: Telemetry) -> None:
    app = OpenTelemetryMiddleware(Seam(Probe(fail), Settings()))
    run_asgi(app, scope("/"))
    assert len(server_spans(telemetry.spans)) == 1


STRANGE: dict[str, dict[str, Any]] = {
    "bytes that are no text": {"headers": [(b"host", b"\xff\xfe"), (b"\xff", b"\x80")]},
    "no headers": {"headers": []},
    "bad traceparent": {"headers": [(b"traceparent", b"\xff" * 100)]},
    "long traceparent": {"headers": [(b"traceparent", b"00-" + b"a" * 100_000)]},
    "surrogates in the path": {"path": "/\udcff\udcfe"},
    "no client": {"client": None},
    "no server": {"server": None},
    "a socket": {"server": ("/run/app.sock", None), "client": ("", 0)},
    "bytes in the query": {"query_string": b"\xff\xfe=%ff"},
    "a query that is text": {"query_string": "q=\u00e9"},
    "a query of surrogates": {"query_string": "q=\udcff"},
    "odd method": {"method": "B\u00e9\n"},
    "ten thousand headers": {"headers": [(b"x-%d" % n, b"y") for n in range(10_000)]},
}


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_nothing_in_a_request_costs_the_error(telemetry: Telemetry, name: str, kind: str) -> None:
    request = {**scope("/"), **STRANGE[name], "type": kind}
    _, raised = drive(Seam(Probe(fail, VIEW), Settings()), request)
    assert isinstance(raised, ValueError)
    check(telemetry.spans, PLAIN, Expected(layer="view"))
    for span in telemetry.spans:
        span.name.encode()


MISSING = ["path", "headers", "method", "scheme", "server", "client", "query_string"]


@pytest.mark.parametrize("key", MISSING)
def test_a_scope_without_what_it_should_have(
    telemetry: Telemetry, key: str, failures: dict[str, int]
) -> None:
    request = scope("/")
    del request[key]
    _, raised = drive(Seam(Probe(fail, VIEW), Settings()), request)
    assert isinstance(raised, ValueError)
    check(telemetry.spans, PLAIN, Expected(layer="view"))


def test_without_a_provider_there_is_no_span(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for provider in (trace.NoOpTracerProvider(), trace.ProxyTracerProvider()):
        monkeypatch.setattr(trace, "get_tracer_provider", lambda provider=provider: provider)
        assert not http_span.provider_configured()
        assert asgi_span.server_span(scope("/"), 1, None) is None
        assert run_asgi(Seam(fail, Settings()), scope("/")).raised is not None
    assert telemetry.spans == ()


@pytest.mark.parametrize("suppress", [suppress_instrumentation, suppress_http_instrumentation])
def test_where_instrumentation_is_suppressed_there_is_none(
    telemetry: Telemetry, suppress: Callable[[], AbstractContextManager[None]]
) -> None:
    with suppress():
        assert run_asgi(Seam(fail, Settings()), scope("/")).raised is not None
    assert telemetry.spans == ()


def test_switched_off_there_is_none(telemetry: Telemetry) -> None:
    run_asgi(Seam(fail, Settings(server_span=False)), scope("/"))
    assert telemetry.spans == ()


def test_a_scope_used_again_is_a_request_again(telemetry: Telemetry) -> None:
    """A retrying layer outside of the seam calls the app twice with the same scope."""

    async def retry(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(2):
            try:
                await Seam(Probe(fail, VIEW), Settings())(scope, receive, send)
            except ValueError:
                continue

    run_asgi(retry, scope("/"))
    assert len(error_events(telemetry.spans)) == 2
    telemetry.clear()
    run_asgi(OpenTelemetryMiddleware(retry), scope("/"))
    assert len(server_spans(telemetry.spans)) == 1
    assert len(error_events(telemetry.spans)) == 2


class Route:
    path = "/items/{item}"


@pytest.mark.parametrize(
    "told", [{"route": Route()}, {"path_template": "/items/{item}"}, {"path_template": None}, {}]
)
def test_the_span_that_we_begin_is_named_by_the_route(
    telemetry: Telemetry, told: dict[str, Any]
) -> None:
    class Alone(Seam):
        def alone(self) -> bool:
            return True

    async def view(request: Any, receive: Any, send: Any) -> None:
        request.update(told)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    run_asgi(Alone(view, Settings()), {**scope("/items/7"), "root_path": "/api"})
    span = server_span(telemetry.spans)
    route = "/api/items/{item}" if any(told.values()) else None
    assert (span.attributes or {}).get("http.route") == route
    assert (span.name == f"GET {route}") is (route is not None)
