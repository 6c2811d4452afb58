"""Services that ask each other: the origin is known at every hop, in one trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

from contract.telemetry import Telemetry, error_events, server_spans, trace_ids
from everylayer import clients
from everylayer.boundaries.error_context import MAX_HOPS, parse
from services_kit import FRAMEWORKS, SYNC, Unavailable, attributes_of, serve, transport_of

ON: dict[str, Any] = {"error_context": "send"}
HEADER = "x-error-context"
# The caller, then whom it asks, and so on; what is asked in memory is synchronous.
CHAINS = [
    ("starlette", "flask"),
    ("django-asgi", "wsgi"),
    ("starlette", "flask", "django"),
    ("django", "flask-layered", "wsgi"),
    ("asgi", "flask", "wsgi"),
]


class Lost(Exception):
    """Where it all begins."""


def begins() -> str:
    raise Lost


def asks(framework: str, view: Callable[[], str]) -> Callable[[], str]:
    """Return a view that asks the service of `view` and fails if that does."""
    app = FRAMEWORKS[framework](view, ON)

    def ask() -> str:
        with transport_of(framework, app) as transport, httpx.Client(transport=transport) as client:
            HTTPXClientInstrumentor.instrument_client(client)
            response = clients.httpx.attach(client).get("http://next.internal/")
            if response.is_server_error:
                raise Unavailable
            return response.text

    return ask


def chain(frameworks: tuple[str, ...]) -> Callable[..., httpx.Response]:
    view = begins
    for framework in reversed(frameworks[1:]):
        view = asks(framework, view)
    return serve(frameworks[0], view, **ON)


@pytest.mark.parametrize("frameworks", CHAINS, ids="-".join)
def test_each_hop_knows_where_it_began(telemetry: Telemetry, frameworks: tuple[str, ...]) -> None:
    answer = chain(frameworks)()
    assert answer.status_code == 503
    said = parse(answer.headers[HEADER])
    assert said is not None
    names = [hop.type.rpartition(".")[2] for hop in said.hops]
    assert names == [*["Unavailable"] * (len(frameworks) - 1), "Lost"]

    servers = server_spans(telemetry.spans)
    assert len(servers) == len(frameworks)
    assert len(trace_ids(telemetry.spans)) == 1
    # The innermost ends first.
    ids = [f"{s.context.span_id:016x}" for s in servers if s.context is not None]
    assert [hop.span_id for hop in said.hops] == ids[::-1]

    origin = said.origin
    for event in error_events(servers)[1:]:
        found = attributes_of(event)
        assert found["everylayer.upstream.type"] == origin.type
        assert found["everylayer.upstream.span_id"] == origin.span_id
        assert [link.context.span_id for link in event.span.links] == [int(origin.span_id, 16)]
    hops = [attributes_of(e).get("everylayer.upstream.hops") for e in error_events(servers)]
    assert hops == [None, *range(1, len(frameworks))]


def test_a_long_way_is_bounded_and_counted(telemetry: Telemetry) -> None:
    length = MAX_HOPS + 3
    said = parse(chain(("flask",) * length)().headers[HEADER])
    assert said is not None
    assert (len(said.hops), said.length) == (MAX_HOPS, length)
    assert said.origin.type.endswith("Lost")


def test_a_response_that_is_passed_on_keeps_what_it_told(telemetry: Telemetry) -> None:
    """A gateway that fails itself, but hands on the headers, adds what it knows."""
    told = serve("wsgi", begins, **ON)().headers[HEADER]

    def gateway(environ: Any, start_response: Any) -> list[bytes]:
        try:
            raise Unavailable
        except Unavailable:
            start_response("503 Sorry", [("X-Error-Context", told), ("Content-Length", "0")])
        return []

    from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware

    from everylayer.settings import resolve
    from everylayer.wsgi import Seam

    app = OpenTelemetryMiddleware(Seam(gateway, resolve(ON)))
    with httpx.Client(transport=httpx.WSGITransport(app)) as client:
        answer = client.get("http://gateway.internal/")
    assert len(answer.headers.get_list(HEADER)) == 1
    said, before = parse(answer.headers[HEADER]), parse(told)
    assert said is not None
    assert before is not None
    assert said.hops[1:] == before.hops
    assert said.hops[0].type.endswith("Unavailable")


def test_an_app_within_an_app_tells_once(telemetry: Telemetry) -> None:
    """Django under a neutral seam and stock's middleware: one service, one hop."""
    from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware

    from everylayer.settings import resolve
    from everylayer.wsgi import Seam

    inner = FRAMEWORKS["django"](begins, ON)
    app = OpenTelemetryMiddleware(Seam(inner, resolve(ON)))
    with inner.project(), httpx.Client(transport=httpx.WSGITransport(app)) as client:
        said = parse(client.get("http://shop.internal/").headers[HEADER])
    assert said is not None
    assert len(said.hops) == 1


def test_the_chains_ask_only_what_can_be_asked() -> None:
    assert all(set(frameworks[1:]) <= SYNC.keys() for frameworks in CHAINS)
