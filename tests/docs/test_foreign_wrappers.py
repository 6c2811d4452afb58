"""An agent that wraps views, hooks and middleware with functions of its own gives them no name."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path
from flask import Flask
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from contract import django_settings
from contract.drive import environ, run_asgi, run_wsgi, scope
from contract.telemetry import Telemetry, error_events, session
from everylayer import settings
from everylayer_flask import EveryLayer
from everylayer_starlette import EveryLayerMiddleware

django_settings.configure()

AGENT = """
def wrapped_by_agent(function):
    def call(*args, **kwargs):
        return function(*args, **kwargs)
    return call

def wrapped_by_async_agent(function):
    async def call(*args, **kwargs):
        return await function(*args, **kwargs)
    return call
"""


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    settings.reset()
    with session() as found:
        yield found


@pytest.fixture(scope="module")
def agent() -> Any:
    """Return a module of ddtrace's, as far as its frames tell."""
    made = types.ModuleType("ddtrace.contrib.internal.made_up")
    exec(compile(AGENT, "/agent.py", "exec"), vars(made))
    return made


def flask(agent: Any) -> None:
    def reserve() -> str:
        raise LookupError("no espresso")

    app = Flask("shop")
    app.add_url_rule("/", "reserve", agent.wrapped_by_agent(reserve))
    EveryLayer(app)
    run_wsgi(app, environ())


def django(agent: Any) -> None:
    def reserve(request: HttpRequest) -> HttpResponse:
        return HttpResponse("one")

    class Layer:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __call__(self, request: HttpRequest) -> Any:
            return self.inner(request)

        def process_view(self, *args: Any) -> None:
            raise LookupError("no espresso")

    urls = types.ModuleType("shop_urls")
    vars(urls)["urlpatterns"] = [path("", reserve)]
    # What an agent does to the class of a middleware.
    Layer.process_view = agent.wrapped_by_agent(Layer.process_view)  # type: ignore[method-assign]
    here = types.ModuleType("shop_middleware")
    vars(here)["Layer"] = Layer
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("sys").modules, "shop_middleware", here)
        names = ["everylayer_django.EveryLayerMiddleware", "shop_middleware.Layer"]
        with override_settings(ROOT_URLCONF=urls, MIDDLEWARE=names):
            run_wsgi(WSGIHandler(), environ())


def starlette(agent: Any) -> None:
    async def reserve(request: Request) -> PlainTextResponse:
        raise LookupError("no espresso")

    app = Starlette(routes=[Route("/", agent.wrapped_by_async_agent(reserve))])
    app.add_middleware(EveryLayerMiddleware)
    run_asgi(app, scope())


@pytest.mark.parametrize(
    ("serve", "name"),
    [(flask, "reserve"), (django, "Layer"), (starlette, "reserve")],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_layer_keeps_its_name(
    serve: Callable[[Any], None], name: str, agent: Any, telemetry: Telemetry
) -> None:
    serve(agent)
    (one,) = error_events(telemetry.spans)
    said = (one.event.attributes or {})["everylayer.layer.name"]
    assert str(said).rpartition(".")[2] == name, said
