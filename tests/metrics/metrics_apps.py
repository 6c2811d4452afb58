"""The same small app under each framework: each path is a way to fail, or none."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import Any

import grpc
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path
from flask import Flask, Response
from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.grpc import server_interceptor as stock_interceptor
from opentelemetry.instrumentation.starlette import StarletteInstrumentor
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import everylayer
import everylayer_django.patches
import everylayer_flask
import everylayer_grpc
import everylayer_starlette
from contract.drive import call_asgi, environ, run_wsgi, scope

Headers = Sequence[tuple[str, str]]
Serve = Callable[[str, Headers], object]


class BrokenError(Exception):
    """What the app raises."""


class RefusedError(Exception):
    """What the app answers with a 200."""


def broken(token: str = "") -> None:
    raise BrokenError(f"no use {token}")


def act(name: str) -> str:
    """Do what `/name` asks for."""
    if name == "fail":
        broken()
    if name == "handled":
        raise RefusedError("answered")
    if name == "secret":
        broken("password=hunter2hunter2")
    if name == "many":
        for number in range(12):
            try:
                raise BrokenError(f"number {number}")
            except BrokenError as exc:
                everylayer.record(exc, layer="loop", handled=True)
    if name == "forgotten":
        thread = threading.Thread(target=broken)
        thread.start()
        thread.join()
    return "ok"


PATHS = ("ok", "fail", "handled", "secret", "many", "forgotten")


# Flask


def flask_app(rules: dict[str, Any], stock: bool, provider: Any) -> Any:
    app = Flask("shop")
    for name in PATHS:
        app.add_url_rule(f"/{name}", name, lambda name=name: act(name))
    app.register_error_handler(RefusedError, lambda _: "never mind")

    @app.get("/late")
    def late() -> Response:
        def body() -> Iterator[str]:
            yield "begun"
            broken()

        return Response(body())

    if stock:
        FlaskInstrumentor().instrument_app(app, tracer_provider=provider)  # type: ignore[no-untyped-call]
    everylayer_flask.EveryLayer(app, **rules)
    return app


# Starlette


async def refused(request: Request, exc: Exception) -> PlainTextResponse:
    return PlainTextResponse("never mind")


def endpoint(name: str) -> Any:
    async def view(request: Request) -> PlainTextResponse:
        return PlainTextResponse(act(name))

    return view


async def late(request: Request) -> PlainTextResponse:
    return PlainTextResponse("begun", background=BackgroundTask(broken))


def starlette_app(rules: dict[str, Any], stock: bool, provider: Any) -> Any:
    app = Starlette(
        routes=[*(Route(f"/{n}", endpoint(n)) for n in PATHS), Route("/late", late)],
        middleware=[Middleware(everylayer_starlette.EveryLayerMiddleware, **rules)],
        exception_handlers={RefusedError: refused},
    )
    if stock:
        StarletteInstrumentor().instrument_app(app, tracer_provider=provider)
    return app


# Django


class Refusal:
    """Answers for a refusal."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exc: Exception) -> HttpResponse | None:
        return HttpResponse("never mind") if isinstance(exc, RefusedError) else None


def django_view(name: str) -> Any:
    return lambda request: HttpResponse(act(name))


def django_late(request: HttpRequest) -> HttpResponse:
    response = HttpResponse("begun")
    response._resource_closers.append(broken)
    return response


urlpatterns = [*(path(n, django_view(n)) for n in PATHS), path("late", django_late)]


@contextlib.contextmanager
def django(rules: dict[str, Any], stock: bool, provider: Any) -> Iterator[Serve]:
    everylayer_django.patches.uninstall()
    given = {
        "EVERYLAYER": rules,
        "MIDDLEWARE": [
            "everylayer_django.EveryLayerMiddleware",
            f"{__name__}.Refusal",
        ],
        "ROOT_URLCONF": __name__,
    }
    with override_settings(**given):
        if stock:
            DjangoInstrumentor().instrument(tracer_provider=provider)
        try:
            yield in_this_thread(WSGIHandler())
        finally:
            if stock:
                DjangoInstrumentor().uninstrument()
            everylayer_django.patches.uninstall()


@contextlib.contextmanager
def django_asgi(rules: dict[str, Any], stock: bool, provider: Any) -> Iterator[Serve]:
    with django(rules, stock, provider):
        yield in_a_loop(ASGIHandler())


# gRPC


@contextlib.contextmanager
def grpc_server(rules: dict[str, Any], stock: bool, provider: Any) -> Iterator[Serve]:
    """A server on the loopback, and what calls it."""

    class Recovery(grpc.ServerInterceptor):
        def intercept_service(self, continuation: Any, details: Any) -> Any:
            inner = continuation(details)

            def answered(request: bytes, context: Any) -> bytes:
                try:
                    return inner.unary_unary(request, context)  # type: ignore[no-any-return]
                except RefusedError:
                    return b"never mind"

            return grpc.unary_unary_rpc_method_handler(answered)

    def behavior(name: str) -> Any:
        return lambda request, context: act(name).encode()

    handlers = {n: grpc.unary_unary_rpc_method_handler(behavior(n)) for n in PATHS}
    tracing = [stock_interceptor(tracer_provider=provider)] if stock else []  # type: ignore[no-untyped-call]
    server = grpc.server(
        futures.ThreadPoolExecutor(1),
        interceptors=[everylayer_grpc.server_interceptor(**rules), *tracing, Recovery()],
    )
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("shop", handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:

        def serve(url: str, headers: Headers = ()) -> object:
            method = channel.unary_unary(f"/shop{url}")
            metadata = [(name.lower(), value) for name, value in headers]
            with contextlib.suppress(grpc.RpcError):
                method(b"", metadata=metadata, timeout=10)
            return None

        yield serve
    server.stop(0).wait(10)


def in_a_loop(app: Any) -> Serve:
    return lambda url, headers=(): asyncio.run(call_asgi(app, scope(url, headers)))


def in_this_thread(app: Any) -> Serve:
    return lambda url, headers=(): run_wsgi(app, environ(url, headers))


@contextlib.contextmanager
def serving(
    kind: str, *, stock: bool = True, provider: Any = None, **rules: Any
) -> Iterator[Serve]:
    """Serve requests to an app of `kind` with `rules`."""
    around: Any = {"django": django, "django-asgi": django_asgi, "grpc": grpc_server}.get(kind)
    if around is not None:
        with around(rules, stock, provider) as serve:
            yield serve
    elif kind == "flask":
        yield in_this_thread(flask_app(rules, stock, provider))
    else:
        yield in_a_loop(starlette_app(rules, stock, provider))


# Kind -> the framework as metrics name it.
KINDS = {
    "django": "django",
    "django-asgi": "django",
    "flask": "flask",
    "starlette": "starlette",
    "grpc": "grpc",
}
