"""How the plugin comes to an app and leaves it, and what it does not touch."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from litestar import Litestar, get, post, websocket_listener
from litestar import Request as LitestarRequest
from litestar._asgi.asgi_router import ASGIRouter
from litestar._asgi.routing_trie import mapping
from litestar.middleware.rate_limit import RateLimitConfig
from litestar.plugins import InitPlugin
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.trace import StatusCode

from asgi_drive import Request, converse
from contract.drive import run_asgi, scope
from contract.expect import ESCAPED, Expected, check
from contract.faults import PLAIN, fault_site
from contract.telemetry import Telemetry, error_events, server_span, server_spans
from everylayer.asgi import Seam
from everylayer.settings import SettingsError
from everylayer_litestar import EveryLayerPlugin
from everylayer_litestar.instrumentor import EveryLayerLitestarInstrumentor
from everylayer_litestar.patches import PATCHES
from litestar_cases_layers import UNAUTHORIZED, calm, failing
from litestar_kit import PLUGIN, Kit, OpenTelemetryConfig
from litestar_layers import Calm, Raiser

TARGETS = [
    (Litestar, "_create_asgi_handler"),
    (Litestar, "__init__"),
    (ASGIRouter, "lifespan"),
    (mapping, "build_route_middleware_stack"),
]


@pytest.fixture
def instrumentor() -> Iterator[EveryLayerLitestarInstrumentor]:
    made = EveryLayerLitestarInstrumentor()
    yield made
    if made.is_instrumented_by_opentelemetry:
        made.uninstrument()


@get("/items/{item:str}")
async def item_page(item: str) -> str:
    return item


def test_the_span_that_it_begins_is_named_by_the_route(telemetry: Telemetry) -> None:
    app = Litestar([item_page], plugins=[EveryLayerPlugin()])
    assert run_asgi(app, scope("/items/7")).status == 200
    span = server_span(telemetry.spans)
    assert span.name == "GET /items/{item}"
    assert span.attributes is not None
    assert span.attributes["http.route"] == "/items/{item}"
    assert span.status.status_code is StatusCode.UNSET


@websocket_listener("/talk")
async def talk(data: str) -> str:
    fault_site(PLAIN)


def test_what_listens_to_a_socket_is_a_view(telemetry: Telemetry) -> None:
    app = Litestar([talk], plugins=[EveryLayerPlugin()])
    converse(app, Request("/talk", kind="websocket", texts=("hello",)))
    check(telemetry.spans, PLAIN, replace(ESCAPED, layer="talk", kind="view"))


def test_the_outermost_of_two_that_begin_a_span_has_the_error(telemetry: Telemetry) -> None:
    app = OpenTelemetryMiddleware(Kit(setup=PLUGIN, ours=True).app(failing))
    assert run_asgi(app, scope("/")).status == 500
    (event,) = error_events(telemetry.spans)
    assert event.span is server_span(telemetry.spans)


def test_an_app_without_it_is_left_alone(telemetry: Telemetry) -> None:
    Kit(ours=True).app(calm)  # Whatever is patched is patched now.
    app = Kit().app(failing, {"app": [Calm()]})
    assert not isinstance(app.asgi_handler, Seam)
    assert run_asgi(app, scope("/")).status == 500
    assert telemetry.spans == ()


def test_switched_off_it_does_nothing(telemetry: Telemetry) -> None:
    app = Kit(ours=True, settings={"enabled": False}).app(failing, {"app": [Raiser()]})
    assert not isinstance(app.asgi_handler, Seam)
    run_asgi(app, scope("/"))
    assert telemetry.spans == ()


@pytest.mark.parametrize("settings", [{"colour": "red"}, {"client_errors": "some"}])
def test_settings_that_cannot_be_used_fail_where_they_are_given(settings: dict[str, Any]) -> None:
    with pytest.raises((SettingsError, TypeError)):
        EveryLayerPlugin(**settings)


def test_settings_are_those_of_one_app(telemetry: Telemetry) -> None:
    async def refusing(self: Any) -> str:
        fault_site(UNAUTHORIZED)

    run_asgi(Kit(ours=True, settings={"client_errors": "all"}).app(refusing), scope("/"))
    run_asgi(Kit(ours=True).app(refusing), scope("/"))
    assert [len(span.events) for span in server_spans(telemetry.spans)] == [1, 0]


def test_routes_that_are_added_later_are_covered(telemetry: Telemetry) -> None:
    @get("/late", middleware=[Raiser()])
    async def late_page() -> str:
        return "late"

    app = Litestar([item_page], plugins=[EveryLayerPlugin()], openapi_config=None)
    app.register(late_page)
    run_asgi(app, scope("/late"))
    check(telemetry.spans, PLAIN, Expected(layer="Raiser", kind="middleware"))


def test_stock_on_one_route_keeps_the_span_to_itself(telemetry: Telemetry) -> None:
    levels = {"app": [Calm()], "handler": [OpenTelemetryConfig().middleware, Raiser()]}
    run_asgi(Kit(ours=True).app(calm, levels), scope("/"))
    kept = [span for span in telemetry.spans if not span.name.endswith((" send", " receive"))]
    check(kept, PLAIN, Expected(layer="Raiser"))


def test_a_layer_of_litestars_own_is_one_of_the_apps(telemetry: Telemetry) -> None:
    app = Kit(ours=True).app(calm, {"app": [RateLimitConfig(rate_limit=("day", 1)).middleware]})
    assert [run_asgi(app, scope("/")).status for _ in range(2)] == [200, 429]
    [found] = error_events(telemetry.spans)
    attributes = found.event.attributes or {}
    assert attributes["everylayer.layer.name"] == "RateLimitMiddleware"
    assert attributes["everylayer.handled"] is True


def test_a_body_that_is_read_twice_is_an_error(telemetry: Telemetry) -> None:
    @post("/")
    async def twice(request: LitestarRequest[Any, Any, Any]) -> None:
        for _ in range(2):
            async for _ in request.stream():
                pass

    app = Litestar([twice], plugins=[EveryLayerPlugin()], openapi_config=None)
    converse(app, Request(method="POST", body=b"{}"))
    [found] = error_events(telemetry.spans)
    assert (found.event.attributes or {})["exception.message"] == "500: stream consumed"


@pytest.mark.parametrize("stage", ["on_startup", "on_shutdown"])
def test_an_error_of_the_lifespan_is_on_a_span_of_its_own(telemetry: Telemetry, stage: str) -> None:
    async def hook() -> None:
        fault_site(PLAIN)

    request = Request(kind="lifespan")
    plain = converse(Kit().app(calm, **{stage: [hook]}), request)
    run = converse(Kit(ours=True).app(calm, **{stage: [hook]}), request)
    assert run == plain
    [found] = error_events(telemetry.spans)
    assert found.span.name == "lifespan"
    assert (found.event.attributes or {})["everylayer.handled"] is False
    telemetry.clear()
    assert converse(Kit(ours=True).app(calm), request).raised is None
    assert telemetry.spans == ()


def test_without_a_line_of_code(
    telemetry: Telemetry, instrumentor: EveryLayerLitestarInstrumentor
) -> None:
    instrumentor.instrument(client_errors="all")
    covered = Kit().app(calm, {"app": [Raiser()]})
    own = Kit(ours=True).app(calm)
    assert sum(isinstance(each, EveryLayerPlugin) for each in own.plugins) == 1
    run_asgi(covered, scope("/"))
    check(telemetry.spans, PLAIN, Expected(layer="Raiser"))
    telemetry.clear()
    run_asgi(covered, scope("/nowhere"))
    assert len(error_events(telemetry.spans)) == 1

    telemetry.clear()
    instrumentor.uninstrument()
    later = Kit().app(failing)
    for app in (covered, later):
        assert not any(isinstance(each, Seam) for each in (app.asgi_handler,))
        run_asgi(app, scope("/"))
    assert telemetry.spans == ()
    run_asgi(own, scope("/"))
    assert len(server_spans(telemetry.spans)) == 1


def test_an_app_that_is_made_later_gets_none_though_others_have_wrapped_the_class(
    instrumentor: EveryLayerLitestarInstrumentor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Litestar, "__init__", Litestar.__init__)
    instrumentor.instrument()
    ours: Any = Litestar.__init__

    def other(self: Any, *args: Any, **kwargs: Any) -> None:
        ours(self, *args, **kwargs)

    monkeypatch.setattr(Litestar, "__init__", other)
    assert any(isinstance(each, EveryLayerPlugin) for each in Litestar([item_page]).plugins)
    instrumentor.uninstrument()
    assert not any(isinstance(each, EveryLayerPlugin) for each in Litestar([item_page]).plugins)


def test_nothing_is_left_where_no_app_brings_the_plugin(
    telemetry: Telemetry, instrumentor: EveryLayerLitestarInstrumentor
) -> None:
    PATCHES.undo()
    before = [getattr(owner, name) for owner, name in TARGETS]
    instrumentor.instrument()
    app = Kit(setup=PLUGIN).app(calm)
    stock = getattr(app.asgi_handler.app, "open_telemetry_middleware", None)
    instrumentor.uninstrument()
    assert [getattr(owner, name) for owner, name in TARGETS] == before
    # Older versions have it as a layer of each route.
    assert stock is None or stock.app.__module__ != "everylayer.asgi"
    assert run_asgi(app, scope("/")).status == 200


def test_bad_settings_without_a_line_of_code_fail_at_once(
    instrumentor: EveryLayerLitestarInstrumentor,
) -> None:
    before = Litestar.__init__
    with pytest.raises((SettingsError, TypeError)):
        instrumentor.instrument(colour="red")
    assert Litestar.__init__ is before


def test_the_patches_are_put_back_and_come_again() -> None:
    PATCHES.undo()
    before = [getattr(owner, name) for owner, name in TARGETS]
    Kit(ours=True).app(calm)
    changed = [getattr(owner, name) for owner, name in TARGETS]
    assert [one is other for one, other in zip(before, changed, strict=True)].count(True) == 1
    PATCHES.undo()
    assert [getattr(owner, name) for owner, name in TARGETS] == before


def test_what_does_not_fit_is_left_alone_and_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, telemetry: Telemetry
) -> None:
    original = mapping.build_route_middleware_stack

    def newer(app: Any, route: Any, route_handler: Any, extra: Any = None) -> Any:
        return original(app=app, route=route, route_handler=route_handler)

    PATCHES.undo()
    original = mapping.build_route_middleware_stack
    monkeypatch.setattr(mapping, "build_route_middleware_stack", newer)
    with caplog.at_level(logging.WARNING, "everylayer"):
        app = Kit(ours=True).app(failing)
    assert mapping.build_route_middleware_stack is newer
    assert "build_route_middleware_stack" in caplog.text
    assert "litestar 2." in caplog.text
    run_asgi(app, scope("/"))
    check(telemetry.spans, PLAIN, Expected())  # Still shown by the response that hides it.
    PATCHES.undo()


class Bystander(InitPlugin):
    """Whatever holds it, holds the app."""


def test_an_app_goes_when_its_last_user_lets_go_of_it(telemetry: Telemetry) -> None:
    def left_behind(kit: Kit) -> bool:
        bystander = Bystander()
        app = kit.app(failing, {"app": [Calm()]}, plugins=[bystander])
        run_asgi(app, scope("/"))
        held = weakref.ref(bystander)
        del app, bystander
        gc.collect()
        return held() is not None

    # Older versions of Litestar keep each app that has served a request.
    assert left_behind(Kit(ours=True)) is left_behind(Kit())


def test_requests_at_once_keep_their_errors_apart(telemetry: Telemetry) -> None:
    from contract.drive import call_asgi

    async def page(self: Any, number: int) -> str:
        await asyncio.sleep(0.001 * (number % 3))
        raise ValueError(f"number {number}")

    app = Kit(ours=True).app(page, {"router": [Calm()]})

    async def all_at_once() -> None:
        await asyncio.gather(*(call_asgi(app, scope(f"/?number={n}")) for n in range(20)))

    asyncio.run(all_at_once())
    spans = server_spans(telemetry.spans)
    said = {str((s.events[0].attributes or {})["exception.message"]) for s in spans}
    assert said == {f"number {n}" for n in range(20)}
    assert {len(span.events) for span in spans} == {1}
