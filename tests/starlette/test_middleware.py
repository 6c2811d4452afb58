"""The entry itself: its settings, what it refuses, and how little of it an app can see."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import weakref
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, Router

import everylayer
from asgi_drive import Client, Request, converse
from asgi_layers import AnswersLater, Calm, Raiser
from cases_layers import CALM_ROUTES, FAILING_ROUTES
from contract.expect import ESCAPED, HANDLED, check
from contract.faults import PLAIN, fault_site
from contract.telemetry import Telemetry, error_events, late_spans, server_span, server_spans
from everylayer.settings import SettingsError
from everylayer_starlette import EveryLayerMiddleware, patches

OK = Request()


def app_with(*layers: Any, routes: Any = CALM_ROUTES, **settings: Any) -> Starlette:
    app = Starlette(routes=routes)
    for layer in reversed(layers):
        app.add_middleware(layer)
    app.add_middleware(EveryLayerMiddleware, **settings)
    return app


# Settings


def test_a_bad_setting_fails_where_it_is_given() -> None:
    with pytest.raises(SettingsError, match="max_events is 'many'; it must be a whole number"):
        Starlette().add_middleware(EveryLayerMiddleware, max_events="many")
    with pytest.raises(SettingsError, match=r"'max_event'. Did you mean 'max_events'"):
        Starlette().add_middleware(EveryLayerMiddleware, max_event=3)
    with pytest.raises(SettingsError, match="client_errors"):
        EveryLayerMiddleware(Starlette(), client_errors="some")


def test_a_bad_setting_in_the_constructor_fails_at_start_up() -> None:
    app = Starlette(middleware=[Middleware(EveryLayerMiddleware, max_events=0)])
    raised = converse(app, Request(kind="lifespan")).raised
    assert raised is not None
    assert raised.type is SettingsError
    assert "max_events" in raised.message


def test_a_bad_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERYLAYER_MAX_EVENTS", "many")
    with pytest.raises(SettingsError, match="EVERYLAYER_MAX_EVENTS"):
        Starlette().add_middleware(EveryLayerMiddleware)


def test_settings_are_given_by_name() -> None:
    with pytest.raises(TypeError, match="takes settings by name"):
        Starlette().add_middleware(EveryLayerMiddleware, 3)


def test_arguments_win_over_configure(telemetry: Telemetry) -> None:
    everylayer.configure(client_errors="none", max_message_bytes=64)
    try:
        app = app_with(AnswersLater, Raiser, max_message_bytes=128)
        assert patches.look(app).settings.max_message_bytes == 128
        assert patches.look(app).settings.client_errors == "none"
    finally:
        everylayer.settings.reset()


def test_disabled_is_out_of_the_way(telemetry: Telemetry) -> None:
    app = app_with(Raiser, enabled=False)
    assert converse(app, OK).status == 500
    assert error_events(telemetry.spans) == []


@pytest.mark.parametrize(("client_errors", "events"), [("all", 1), ("layers", 0), ("none", 0)])
def test_not_found_by_setting(telemetry: Telemetry, client_errors: str, events: int) -> None:
    app = app_with(Calm, client_errors=client_errors)
    assert converse(app, Request("/nowhere")).status == 404
    assert len(error_events(telemetry.spans)) == events


def test_ignored_and_expected(telemetry: Telemetry) -> None:
    converse(app_with(Raiser, ignored=("ValueError",)), OK)
    assert error_events(telemetry.spans) == []
    telemetry.clear()
    converse(app_with(Raiser, expected=("ValueError",)), OK)
    (event,) = error_events(telemetry.spans)
    assert (event.event.attributes or {})["everylayer.handled"] is True


# What a layer is called


async def refusing(request: Any, call_next: Any) -> Any:
    fault_site(PLAIN)


async def calm_function(request: Any, call_next: Any) -> Any:
    return await call_next(request)


def test_a_function_that_starlette_wraps_goes_by_its_own_name(telemetry: Telemetry) -> None:
    layers = [Middleware(BaseHTTPMiddleware, dispatch=f) for f in (calm_function, refusing)]
    app = Starlette(routes=CALM_ROUTES, middleware=layers)
    app.add_middleware(EveryLayerMiddleware)
    assert converse(app, OK).status == 500
    (found,) = error_events(telemetry.spans)
    attributes = found.event.attributes or {}
    assert attributes["everylayer.layer.name"] == "refusing"
    assert attributes["everylayer.layer.index"] == 1


# What is no ASGI app


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    return []


class Flasklike:
    wsgi_app = staticmethod(wsgi)

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.wsgi_app(environ, start_response)


def get_response(request: Any) -> Any:
    return None


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        (None, r"EveryLayerMiddleware\(app\)"),
        ("main:app", r"EveryLayerMiddleware\(app\)"),
        (3, r"EveryLayerMiddleware\(app\)"),
        (wsgi, "everylayer_flask.EveryLayer"),
        (Flasklike(), "everylayer_flask.EveryLayer"),
        (get_response, "everylayer_django.EveryLayerMiddleware"),
        (Calm, "give it an app, not a class"),
    ],
    ids=["none", "string", "number", "wsgi", "flask", "django", "class"],
)
def test_what_is_no_asgi_app_is_refused(given: Any, remedy: str) -> None:
    with pytest.raises(TypeError, match=f"EveryLayerMiddleware needs an ASGI app.*{remedy}"):
        EveryLayerMiddleware(given)


class Page(HTTPEndpoint):
    def get(self, request: Any) -> Any:
        return PlainTextResponse("fine")


def plain(scope: Any, receive: Any, send: Any) -> Any:
    return PlainTextResponse("fine")(scope, receive, send)


@pytest.mark.parametrize("given", [Page, plain, Router(CALM_ROUTES), Starlette(routes=CALM_ROUTES)])
def test_every_form_of_asgi_app_is_taken(given: Any, telemetry: Telemetry) -> None:
    assert converse(EveryLayerMiddleware(given), OK) == converse(given, OK)


# What an app can see


def test_the_list_of_middleware_is_left_alone() -> None:
    app = app_with(Calm, Raiser)
    before = list(app.user_middleware)
    converse(app, OK)
    assert app.user_middleware == before
    assert [entry.cls for entry in before] == [EveryLayerMiddleware, Calm, Raiser]


def test_the_outermost_layer_keeps_its_type_and_the_chain_is_walkable() -> None:
    app = app_with(Calm, Raiser)
    converse(app, OK)
    layer: Any = app.middleware_stack
    assert isinstance(layer, ServerErrorMiddleware)
    names = []
    while layer is not None and not inspect.ismethod(layer):
        names.append(type(layer).__name__)
        layer = getattr(layer, "app", None)
    assert [n for n in names if n in ("Calm", "Raiser")] == ["Calm", "Raiser"]
    assert names[-2:] == ["ExceptionMiddleware", "Router"]


def test_servers_still_see_an_asgi_3_app() -> None:
    assert inspect.iscoroutinefunction(Starlette.__call__)
    assert inspect.iscoroutinefunction(EveryLayerMiddleware.__call__)
    assert inspect.iscoroutinefunction(app_with(Calm).__call__)


def test_added_too_late_is_said_as_before(telemetry: Telemetry) -> None:
    app = Starlette(routes=CALM_ROUTES)
    converse(app, OK)
    with pytest.raises(RuntimeError, match="Cannot add middleware after"):
        app.add_middleware(EveryLayerMiddleware)


def test_twice_is_once(telemetry: Telemetry) -> None:
    app = app_with(Raiser)
    app.add_middleware(EveryLayerMiddleware)
    converse(EveryLayerMiddleware(EveryLayerMiddleware(app)), OK)
    check(telemetry.spans, PLAIN, ESCAPED)


def test_in_the_constructor(telemetry: Telemetry) -> None:
    made = [Middleware(Calm), Middleware(EveryLayerMiddleware), Middleware(Raiser)]
    converse(Starlette(routes=CALM_ROUTES, middleware=made), OK)
    check(telemetry.spans, PLAIN, ESCAPED)


def test_a_subclass_that_builds_by_itself(telemetry: Telemetry) -> None:
    class Own(Starlette):
        def build_middleware_stack(self) -> Any:
            return Calm(super().build_middleware_stack())

    app = Own(routes=CALM_ROUTES)
    app.add_middleware(Raiser)
    app.add_middleware(AnswersLater, status=200)
    app.add_middleware(EveryLayerMiddleware)
    converse(app, OK)
    check(telemetry.spans, PLAIN, HANDLED)


def test_other_apps_of_the_process_are_left_alone(telemetry: Telemetry) -> None:
    converse(app_with(Calm), OK)
    telemetry.clear()
    other = Starlette(routes=CALM_ROUTES, middleware=[Middleware(Raiser)])
    assert converse(other, OK).status == 500
    assert telemetry.spans == ()


def test_an_app_within_a_covered_one_and_by_itself(telemetry: Telemetry) -> None:
    sub = Starlette(routes=FAILING_ROUTES)
    outer = Starlette(routes=[Mount("/in", app=sub)])
    outer.add_middleware(EveryLayerMiddleware)
    converse(outer, Request("/in/"))
    check(telemetry.spans, PLAIN, ESCAPED)


def test_a_covered_app_within_another(telemetry: Telemetry) -> None:
    sub = app_with(AnswersLater, Raiser)
    converse(Starlette(routes=[Mount("/in", app=sub)]), Request("/in/"))
    check(telemetry.spans, PLAIN, ESCAPED)


# Lifespans


def test_a_start_up_that_fails(telemetry: Telemetry) -> None:
    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> Any:
        fault_site(PLAIN)
        yield

    plain_run = converse(Starlette(lifespan=lifespan), Request(kind="lifespan"))
    app = Starlette(lifespan=lifespan)
    app.add_middleware(EveryLayerMiddleware)
    assert converse(app, Request(kind="lifespan")) == plain_run
    (event,) = error_events(telemetry.spans)
    assert (event.event.attributes or {})["exception.message"] == "plain fault"
    assert event.span.status.status_code.name == "ERROR"
    assert server_spans(telemetry.spans) == []


def test_a_shut_down_that_fails(telemetry: Telemetry) -> None:
    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> Any:
        yield
        fault_site(PLAIN)

    app = Starlette(lifespan=lifespan)
    app.add_middleware(EveryLayerMiddleware)
    converse(app, Request(kind="lifespan"))
    (event,) = error_events(telemetry.spans)
    assert event.span.status.status_code.name == "ERROR"


def test_a_calm_lifespan_is_no_span(telemetry: Telemetry) -> None:
    converse(app_with(Calm), Request(kind="lifespan"))
    assert telemetry.spans == ()


# Many requests


def test_concurrent_requests_do_not_mix(telemetry: Telemetry) -> None:
    async def view(request: Any) -> Any:
        number = request.query_params["n"]
        await asyncio.sleep(0.001 * (int(number) % 3))
        if int(number) % 2:
            raise ValueError(f"fault {number}")
        return PlainTextResponse(number)

    app = app_with(Calm, Calm, routes=[Route("/", view)])

    async def serve() -> None:
        clients = [Client(Request(f"/?n={n}")) for n in range(40)]
        await asyncio.gather(*(client.call(app) for client in clients))

    asyncio.run(serve())
    messages = [
        (e.event.attributes or {})["exception.message"] for e in error_events(telemetry.spans)
    ]
    assert sorted(messages) == sorted(f"fault {n}" for n in range(1, 40, 2))
    assert all(len(span.events) <= 1 for span in server_spans(telemetry.spans))


def test_nothing_of_a_failed_request_is_kept(telemetry: Telemetry) -> None:
    class Marked(Exception):
        pass

    kept: list[Any] = []

    async def view(request: Any) -> Any:
        error = Marked("kept?")
        kept.append(weakref.ref(error))
        raise error

    app = app_with(Calm, routes=[Route("/", view)])
    converse(app, OK)
    gc.collect()
    assert [ref() for ref in kept] == [None]


def test_a_reused_exception_counts_in_each_request(telemetry: Telemetry) -> None:
    shared = ValueError("the same object")

    async def view(request: Any) -> Any:
        raise shared

    app = app_with(Calm, routes=[Route("/", view)])
    for _ in range(3):
        telemetry.clear()
        converse(app, OK)
        assert len(server_span(telemetry.spans).events) == 1
    assert late_spans(telemetry.spans) == []
