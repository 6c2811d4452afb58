"""One app a framework, each asked by a real client in memory, as if it ran in its own process."""

from __future__ import annotations

import asyncio
import contextvars
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import httpx
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.test import override_settings
from django.urls import path
from fastapi import FastAPI
from flask import Flask
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware as StockASGI
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware as StockWSGI
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from everylayer.asgi import Seam as ASGISeam
from everylayer.settings import resolve
from everylayer.wsgi import Seam as WSGISeam
from everylayer_flask import EveryLayer
from everylayer_starlette import EveryLayerMiddleware

PEER = "127.0.0.1"


class Unavailable(Exception):
    """Answered with 503 by each app's own error handler."""


class Gone(Exception):
    """Answered with 410."""


# What a view does: returns its text, or raises.
View = Callable[[], str]
Service = Callable[..., httpx.Response]
Make = Callable[[View, dict[str, Any]], Any]


def starlette(view: View, settings: dict[str, Any]) -> Starlette:
    def show(request: Any) -> PlainTextResponse:
        return PlainTextResponse(view())

    app = Starlette(routes=[Route("/", show)], exception_handlers=dict(_handlers()))
    app.add_middleware(EveryLayerMiddleware, **settings)
    return app


def fastapi(view: View, settings: dict[str, Any]) -> FastAPI:
    app = FastAPI(exception_handlers=dict(_handlers()))
    app.add_api_route("/", lambda: PlainTextResponse(view()))
    app.add_middleware(EveryLayerMiddleware, **settings)
    return app


def _handlers() -> Iterator[tuple[Any, Any]]:
    for cls, status in ((Unavailable, 503), (Gone, 410)):
        yield cls, lambda request, exc, status=status: PlainTextResponse("sorry", status)


def asgi(view: View, settings: dict[str, Any]) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await inner(scope, receive, send)
        except Exception as exc:
            await PlainTextResponse("sorry", _status(exc))(scope, receive, send)

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse(view())(scope, receive, send)

    return StockASGI(ASGISeam(app, resolve(settings)))


def flask(view: View, settings: dict[str, Any]) -> Flask:
    app = Flask("services")
    app.add_url_rule("/", "show", view)
    app.register_error_handler(Unavailable, lambda exc: ("sorry", 503))
    app.register_error_handler(Gone, lambda exc: ("sorry", 410))
    EveryLayer(app, **settings)
    return app


def flask_layered(view: View, settings: dict[str, Any]) -> Flask:
    app = flask(view, settings)
    inner = app.wsgi_app

    def layer(environ: Any, start_response: Any) -> Any:
        return inner(environ, start_response)

    app.wsgi_app = layer  # type: ignore[method-assign]
    return app


def wsgi(view: View, settings: dict[str, Any]) -> Any:
    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        try:
            text = view()
        except Exception as exc:
            start_response(f"{_status(exc)} Sorry", [("Content-Type", "text/plain")])
            return [b"sorry"]
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [text.encode()]

    return StockWSGI(WSGISeam(app, resolve(settings)))


def _status(exc: Exception) -> int:
    return {Unavailable: 503, Gone: 410}.get(type(exc), 500)


class Recovery:
    """A middleware of Django's that answers for errors."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        return self.get_response(request)

    def process_exception(self, request: Any, exc: Exception) -> Any:
        status = _status(exc)
        return None if status == 500 else HttpResponse("sorry", status=status)


def django(view: View, settings: dict[str, Any]) -> Any:
    return _django(WSGIHandler, view, settings)


def django_asgi(view: View, settings: dict[str, Any]) -> Any:
    return _django(ASGIHandler, view, settings)


@contextmanager
def _project(view: View, settings: dict[str, Any]) -> Iterator[None]:
    urls = types.ModuleType("urls_of_a_service")
    vars(urls)["urlpatterns"] = [path("", lambda request: HttpResponse(view()))]
    middleware = ["everylayer_django.EveryLayerMiddleware", f"{__name__}.Recovery"]
    with override_settings(
        ROOT_URLCONF=urls, MIDDLEWARE=middleware, EVERYLAYER=settings, ALLOWED_HOSTS=["*"]
    ):
        yield


def _django(handler: Any, view: View, settings: dict[str, Any]) -> Any:
    with _project(view, settings):
        made = handler()
    made.project = lambda: _project(view, settings)
    return made


ASYNC = {"starlette": starlette, "fastapi": fastapi, "asgi": asgi, "django-asgi": django_asgi}
SYNC = {"flask": flask, "flask-layered": flask_layered, "wsgi": wsgi, "django": django}
FRAMEWORKS: dict[str, Make] = {**ASYNC, **SYNC}


def serve(framework: str, view: View, **settings: Any) -> Service:
    """Return what asks a fresh app; the app sees nothing of the caller's context."""
    app = FRAMEWORKS[framework](view, settings)

    def ask(headers: Any = None, peer: str = PEER) -> httpx.Response:
        with transport_of(framework, app, peer) as transport:
            request = httpx.Request("GET", "http://shop.internal/", headers=headers)
            if framework in SYNC:
                # Servers give each byte as a character; httpx refuses what is not ASCII.
                as_served = [(k.decode(), v.decode("latin-1")) for k, v in request.headers.raw]
                transport.app = with_headers(transport.app, as_served)
                request = httpx.Request("GET", request.url)
                request.headers.clear()
            if framework in SYNC:
                return transport.handle_request(request)  # type: ignore[no-any-return]

            async def asked() -> httpx.Response:
                answer = await transport.handle_async_request(request)
                await answer.aread()
                return answer  # type: ignore[no-any-return]

            return contextvars.Context().run(asyncio.run, asked())

    return ask


@contextmanager
def transport_of(framework: str, app: Any, peer: str = PEER) -> Iterator[Any]:
    """Give a client what leads to `app`."""
    with getattr(app, "project", nullcontext)():
        if framework in SYNC:
            yield httpx.WSGITransport(alone(app), raise_app_exceptions=False, remote_addr=peer)
        else:
            yield httpx.ASGITransport(app, raise_app_exceptions=False, client=(peer, 1234))


def with_headers(app: Any, headers: list[tuple[str, str]]) -> Any:
    """Return `app` with a server in front of it that has read `headers`."""

    def served(environ: dict[str, Any], start_response: Any) -> Any:
        for name, value in headers:
            key = f"HTTP_{name.upper().replace('-', '_')}"
            environ[key] = f"{environ[key]},{value}" if key in environ else value
        return app(environ, start_response)

    return served


def alone(app: Any) -> Any:
    """Run a WSGI app in a context of its own, as another process would."""

    def served(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        def run() -> list[bytes]:
            body = app(environ, start_response)
            try:
                return [b"".join(body)]
            finally:
                getattr(body, "close", lambda: None)()

        return contextvars.Context().run(run)

    return served


def attributes_of(event: Any) -> Mapping[str, Any]:
    return event.event.attributes or {}
