"""One app of each framework, under stock's own span, whose view does as it is told."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from contract.drive import environ, run_asgi, run_wsgi, scope
from contract.responses import Run

Work = Callable[[], Any]
Serve = Callable[[], Run]


@contextlib.contextmanager
def starlette(view: Work) -> Iterator[Serve]:
    async def call() -> None:
        view()

    with starlette_async(call) as serve:
        yield serve


@contextlib.contextmanager
def starlette_async(view: Callable[[], Awaitable[Any]], **settings: Any) -> Iterator[Serve]:
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from everylayer_starlette import EveryLayerMiddleware

    async def endpoint(request: Request) -> Response:
        await view()
        return Response("fine")

    app = Starlette(routes=[Route("/", endpoint)])
    app.add_middleware(EveryLayerMiddleware, **settings)
    stock = OpenTelemetryMiddleware(app)  # type: ignore[no-untyped-call]
    yield lambda: run_asgi(stock, scope())


@contextlib.contextmanager
def flask(view: Work) -> Iterator[Serve]:
    from flask import Flask
    from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware

    from everylayer_flask import EveryLayer

    app = Flask("boundaries")

    def index() -> str:
        view()
        return "fine"

    app.add_url_rule("/", "index", index)
    EveryLayer(app)
    stock = OpenTelemetryMiddleware(app)
    yield lambda: run_wsgi(stock, environ())


@contextlib.contextmanager
def django(view: Work) -> Iterator[Serve]:
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpRequest, HttpResponse
    from django.test import override_settings
    from django.urls import path
    from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware

    from everylayer_django import patches

    def index(request: HttpRequest) -> HttpResponse:
        view()
        return HttpResponse("fine")

    middleware = ["everylayer_django.EveryLayerMiddleware"]
    with override_settings(MIDDLEWARE=middleware, ROOT_URLCONF=(path("", index),)):
        stock = OpenTelemetryMiddleware(WSGIHandler())
        yield lambda: run_wsgi(stock, environ())
    patches.uninstall()


APPS = [starlette, flask, django]
