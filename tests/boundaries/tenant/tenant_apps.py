"""The same small app under each framework: every path tells the tenant that its code saw."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path
from flask import Flask, Response, request
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.starlette import StarletteInstrumentor
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware as WsgiTelemetry
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

import everylayer
import everylayer_django.patches
import everylayer_flask
import everylayer_starlette
from contract.drive import Headers, call_asgi, environ, run_wsgi, scope
from contract.responses import Run

Serve = Callable[..., Run]


class BrokenError(Exception):
    """What the app raises."""


def seen() -> str:
    """Tell the tenant."""
    return str(everylayer.tenant())


def stream(fails: bool) -> Iterator[str]:
    """Tell it twice while the body is sent."""
    yield seen() + ","
    if fails:
        raise BrokenError("in the body")
    yield seen()


async def astream(fails: bool) -> AsyncIterator[str]:
    """Do the same for those that are asynchronous."""
    for each in stream(fails):
        await asyncio.sleep(0)
        yield each


def in_a_loop(app: Any) -> Serve:
    """Serve requests to an ASGI app: each in a loop of its own, whose context is ours."""

    def serve(url: str, headers: Headers = ()) -> Run:
        async def main() -> Run:
            answer = await call_asgi(app, scope(url, headers))
            assert everylayer.tenant() is None, "it is gone within the task that served it"
            return answer

        return asyncio.run(main())

    return serve


def in_this_thread(app: Any) -> Serve:
    """Serve requests to a WSGI app."""
    return lambda url, headers=(): run_wsgi(app, environ(url, headers))


def resolved(request: everylayer.TenantRequest) -> str:
    """Resolve by name."""
    return "by-name"


# Flask


def flask_app(rules: dict[str, Any], *, stock: bool) -> Any:
    app = Flask("shop")

    @app.get("/tell")
    def tell() -> str:
        before = seen()
        time.sleep(float(request.args.get("wait", 0)))
        assert seen() == before
        return before

    @app.get("/fail")
    def fail() -> str:
        raise BrokenError(seen())

    @app.get("/stream")
    def streamed() -> Response:
        return Response(stream("fails" in request.args))

    if stock:
        FlaskInstrumentor().instrument_app(app)  # type: ignore[no-untyped-call]
    everylayer_flask.EveryLayer(app, **rules)
    return app


# Starlette

AFTER: list[str] = []


async def tell(request: Request) -> PlainTextResponse:
    before = seen()
    await asyncio.sleep(float(request.query_params.get("wait", 0)))
    assert seen() == before
    return PlainTextResponse(before)


async def fail(request: Request) -> PlainTextResponse:
    raise BrokenError(seen())


async def streamed(request: Request) -> StreamingResponse:
    return StreamingResponse(astream("fails" in request.query_params))


async def background(request: Request) -> PlainTextResponse:
    def later() -> None:
        AFTER.append(seen())
        raise BrokenError("after the response")

    return PlainTextResponse(seen(), background=BackgroundTask(later))


def routes() -> list[Route]:
    return [
        Route(f"/{f.__name__.replace('streamed', 'stream')}", f)
        for f in (tell, fail, streamed, background)
    ]


def starlette_app(rules: dict[str, Any], *, stock: bool) -> Any:
    ours = Middleware(everylayer_starlette.EveryLayerMiddleware, **rules)
    app = Starlette(routes=routes(), middleware=[ours])
    if stock:
        StarletteInstrumentor().instrument_app(app)
    return app


# Any app


def plain_asgi(rules: dict[str, Any], *, stock: bool) -> Any:
    app: Any = Starlette(routes=routes())
    if stock:
        app = OpenTelemetryMiddleware(app)  # type: ignore[no-untyped-call]
    return everylayer_starlette.EveryLayerMiddleware(app, **rules)


def plain_wsgi(rules: dict[str, Any], *, stock: bool) -> Any:
    inner = flask_app({"enabled": False}, stock=False)

    def app(environ: Any, start_response: Any) -> Any:
        return inner.wsgi_app(environ, start_response)

    layered: Any = WsgiTelemetry(app) if stock else app
    return everylayer_flask.EveryLayerMiddleware(layered, **rules)


# Django


def django_tell(request: HttpRequest) -> HttpResponse:
    before = seen()
    time.sleep(float(request.GET.get("wait", 0)))
    assert seen() == before
    return HttpResponse(before)


def django_fail(request: HttpRequest) -> HttpResponse:
    raise BrokenError(seen())


def django_stream(request: HttpRequest) -> StreamingHttpResponse:
    made = astream if getattr(request, "scope", None) is not None else stream
    return StreamingHttpResponse(made("fails" in request.GET))


def django_closes(request: HttpRequest) -> HttpResponse:
    def release() -> None:
        raise BrokenError(f"closed for {seen()}")

    response = HttpResponse(seen())
    response._resource_closers.append(release)
    return response


urlpatterns: Sequence[Any] = [
    path("closes", django_closes),
    path("tell", django_tell),
    path("fail", django_fail),
    path("stream", django_stream),
]


@contextlib.contextmanager
def django(rules: dict[str, Any], *, stock: bool, asynchronous: bool) -> Iterator[Serve]:
    everylayer_django.patches.uninstall()
    given = {
        "EVERYLAYER": rules,
        "MIDDLEWARE": ["everylayer_django.EveryLayerMiddleware"],
        "ROOT_URLCONF": __name__,
    }
    with override_settings(**given):
        if stock:
            DjangoInstrumentor().instrument()
        try:
            handler: Any = ASGIHandler() if asynchronous else WSGIHandler()
            yield in_a_loop(handler) if asynchronous else in_this_thread(handler)
        finally:
            if stock:
                DjangoInstrumentor().uninstrument()
            everylayer_django.patches.uninstall()
            assert "get_response" not in vars(handler), "uninstalling leaves no trace"


@contextlib.contextmanager
def serving(kind: str, *, stock: bool = True, **rules: Any) -> Iterator[Serve]:
    """Serve requests to an app of `kind` with `rules`, with or without stock instrumentation."""
    if kind.startswith("django"):
        with django(rules, stock=stock, asynchronous=kind.endswith("asgi")) as serve:
            yield serve
        return
    make: Any
    make, drive = {
        "flask": (flask_app, in_this_thread),
        "wsgi": (plain_wsgi, in_this_thread),
        "starlette": (starlette_app, in_a_loop),
        "asgi": (plain_asgi, in_a_loop),
    }[kind]
    yield drive(make(rules, stock=stock))


KINDS = ("django-wsgi", "django-asgi", "flask", "wsgi", "starlette", "asgi")
