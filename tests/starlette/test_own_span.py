"""The server span that the package begins where nothing else does, and only there."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from typing import Any

import fastapi
import pytest
import starlette.routing
from opentelemetry import trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.trace import StatusCode
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route

import everylayer
from asgi_kit import HAS_NATIVE
from contract.drive import run_asgi, scope
from contract.telemetry import Telemetry, error_events, late_spans, server_span, tree
from everylayer_starlette import EveryLayerMiddleware

# Older versions do not tell which route was taken.
ROUTE_IS_KNOWN = 'scope["route"]' in inspect.getsource(starlette.routing)
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def fine(request: Any) -> PlainTextResponse:
    with trace.get_tracer("app").start_as_current_span("work"):
        pass
    return PlainTextResponse("fine")


async def noted(request: Any) -> PlainTextResponse:
    everylayer.record(ValueError("noted"), layer="billing", handled=True)
    return PlainTextResponse("fine")


def noted_in_a_thread(request: Any) -> PlainTextResponse:
    everylayer.record(ValueError("noted " * 50), layer="billing", handled=True)
    return PlainTextResponse("fine")


async def noted_at_length(request: Any) -> PlainTextResponse:
    return noted_in_a_thread(request)


async def mail(request: Any) -> PlainTextResponse:
    async def send() -> None:
        raise ValueError("relay is down")

    return PlainTextResponse("fine", background=BackgroundTask(send))


ROUTES = [
    Route("/items/{item}", fine),
    Route("/noted", noted),
    Route("/noted-at-length", noted_at_length),
    Route("/noted-in-a-thread", noted_in_a_thread),
    Route("/mail", mail),
    Mount("/inner", routes=[Route("/items/{item}", fine)]),
]


def app(**settings: Any) -> Starlette:
    made = Starlette(routes=ROUTES)
    made.add_middleware(EveryLayerMiddleware, **settings)
    return made


def test_a_clean_request_has_one_and_its_own_spans_are_children(telemetry: Telemetry) -> None:
    run_asgi(app(), scope("/items/7", [("traceparent", PARENT)]))
    span = server_span(telemetry.spans)
    assert span.attributes is not None
    if ROUTE_IS_KNOWN:
        assert span.name == "GET /items/{item}"
        assert span.attributes["http.route"] == "/items/{item}"
    assert span.attributes["http.status_code"] == 200
    assert format(span.context.trace_id, "032x") == PARENT[3:35]
    assert span.status.status_code is StatusCode.UNSET
    [work] = [each for each in telemetry.spans if each.name == "work"]
    assert work.parent is not None
    assert work.parent.span_id == span.context.span_id


@pytest.mark.skipif(not ROUTE_IS_KNOWN, reason="this Starlette does not tell the route")
def test_a_mounted_route_is_named_with_its_mount(telemetry: Telemetry) -> None:
    run_asgi(app(), scope("/inner/items/7"))
    assert server_span(telemetry.spans).name == "GET /inner/items/{item}"


def test_the_app_can_record_on_it(telemetry: Telemetry) -> None:
    run_asgi(app(), scope("/noted"))
    [event] = server_span(telemetry.spans).events
    assert event.attributes is not None
    assert event.attributes["everylayer.layer.name"] == "billing"


def test_it_ends_with_the_response_and_a_background_error_is_late(telemetry: Telemetry) -> None:
    run_asgi(app(), scope("/mail"))
    assert server_span(telemetry.spans).status.status_code is StatusCode.UNSET
    [late] = late_spans(telemetry.spans)
    assert late.status.description == "relay is down"


class AnswersAnyway:
    """Does not know that a response has begun."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self.app(scope, receive, send)
        except ValueError:
            await PlainTextResponse("sorry", 500)(scope, receive, send)


async def breaking(request: Any) -> StreamingResponse:
    async def body() -> AsyncIterator[str]:
        yield "begun"
        raise ValueError("torn")

    return StreamingResponse(body())


@pytest.mark.parametrize("path", ["/breaking", "/mail"])
def test_a_second_answer_is_not_the_clients(
    telemetry: Telemetry, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    made = Starlette(routes=[*ROUTES, Route("/breaking", breaking)])
    made.add_middleware(AnswersAnyway)
    made.add_middleware(EveryLayerMiddleware)
    run_asgi(made, scope(path))
    assert (server_span(telemetry.spans).attributes or {})["http.status_code"] == 200
    assert caplog.messages == []  # The SDK warns of what is set on a span that has ended.


def test_the_context_is_left_as_it_was(telemetry: Telemetry) -> None:
    async def serve() -> None:
        from contract.drive import call_asgi

        await call_asgi(app(), scope("/items/7"))
        assert trace.get_current_span() is trace.INVALID_SPAN

    asyncio.run(serve())


def test_the_setting_turns_it_off(telemetry: Telemetry) -> None:
    run_asgi(app(server_span=False), scope("/noted"))
    assert not [span for span in telemetry.spans if span.kind is trace.SpanKind.SERVER]


@pytest.mark.parametrize("query", ["%ff=\xff", "a=%", "\xff"])
def test_no_query_can_break_it(telemetry: Telemetry, query: str) -> None:
    request = {**scope("/items/7"), "query_string": query.encode("latin-1")}
    assert run_asgi(app(), request).status == 200
    server_span(telemetry.spans)


def around(inner: Any) -> Any:
    return OpenTelemetryMiddleware(EveryLayerMiddleware(inner))


def inside(inner: Any) -> Any:
    return EveryLayerMiddleware(OpenTelemetryMiddleware(inner))


@pytest.mark.parametrize("build", [around, inside, EveryLayerMiddleware])
def test_there_is_never_a_second_one(telemetry: Telemetry, build: Any) -> None:
    run_asgi(build(Starlette(routes=ROUTES)), scope("/items/7"))
    server_span(telemetry.spans)


@pytest.mark.skipif(not HAS_NATIVE, reason="this FastAPI has no telemetry of its own")
@pytest.mark.parametrize("wrapped", [True, False])
def test_fastapis_own_telemetry_stays_alone(telemetry: Telemetry, wrapped: bool) -> None:
    made = fastapi.FastAPI()
    made.add_api_route("/items/{item}", fine_item)
    if not wrapped:
        made.add_middleware(EveryLayerMiddleware)
    run_asgi(EveryLayerMiddleware(made) if wrapped else made, scope("/items/7"))
    assert server_span(telemetry.spans).attributes is not None, tree(telemetry.spans)


async def fine_item(item: str) -> str:
    return item


@pytest.mark.parametrize("settings", [{"enabled": False}, {"server_span": False}])
def test_switched_off_it_leaves_the_server_span_to_what_stands_inside(
    settings: dict[str, Any], telemetry: Telemetry
) -> None:
    made = Starlette(routes=ROUTES)
    made.add_middleware(OpenTelemetryMiddleware)
    made.add_middleware(EveryLayerMiddleware, **settings)
    run_asgi(made, scope("/items/1"))
    assert server_span(telemetry.spans).instrumentation_scope.name.endswith("asgi")
    telemetry.clear()
    run_asgi(app(**settings), scope("/items/1"))
    assert [span.name for span in telemetry.spans] == ["work"]


def test_what_an_endpoint_records_by_itself_follows_the_settings_of_its_app(
    telemetry: Telemetry,
) -> None:
    for path in ("/noted-at-length", "/noted-in-a-thread"):
        run_asgi(app(max_message_bytes=64), scope(path))
    found = [event.event.attributes or {} for event in error_events(telemetry.spans)]
    assert len(found) == 2
    assert all(len(str(one["exception.message"]).encode()) <= 64 for one in found)
