"""What tenants, hooks of clients and the propagator cost, in instructions."""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any
from wsgiref.util import setup_testing_defaults

from opentelemetry import baggage, context, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import everylayer
from everylayer.boundaries.propagator import Propagator

from .pairs import Pair

CALLS = 100
_HEADERS = {
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "baggage": "app.plan=gold",
}

Run = AbstractContextManager[Callable[[], object]]


def pairs() -> dict[str, Pair]:
    """Return what is counted; the plain side of a tenant is the app with tenants off."""
    sides: dict[str, tuple[Callable[..., Run], Any, Any]] = {
        "tenant of a request, Flask": (flask, "off", "header"),
        "tenant of a request, Starlette": (starlette, "off", "header"),
        "tenant of a request, Django": (_django, "off", "header"),
        "httpx.Client, attached": (_httpx, False, True),
        "requests.Session, attached": (_requests, False, True),
        "urllib3.PoolManager, attached": (_urllib3, False, True),
        "Propagator.extract / stock's": (_extract, False, True),
        "the same, each time from another peer": (_extract_of_many, False, True),
        "Propagator.inject / stock's": (_inject, False, True),
    }
    return {
        name: Pair(partial(make, plain), partial(make, ours), CALLS, inside=False)
        for name, (make, plain, ours) in sides.items()
    }


def _repeated(call: Callable[[], object]) -> Callable[[], object]:
    trace.set_tracer_provider(TracerProvider())

    def each() -> None:
        for _ in range(CALLS):
            call()

    return each


@contextlib.contextmanager
def flask(tenant: str, **more: Any) -> Iterator[Callable[[], object]]:
    """Serve requests, with these settings."""
    from flask import Flask
    from opentelemetry.instrumentation.flask import FlaskInstrumentor

    from everylayer_flask import EveryLayer

    app = Flask("app")
    app.add_url_rule("/", view_func=lambda: "ok")
    FlaskInstrumentor().instrument_app(app)  # type: ignore[no-untyped-call]
    EveryLayer(app, tenant=tenant, **more)
    yield _repeated(_wsgi(app))


@contextlib.contextmanager
def starlette(tenant: str, **more: Any) -> Iterator[Callable[[], object]]:
    """Serve requests, with these settings."""
    from opentelemetry.instrumentation.starlette import StarletteInstrumentor
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    from everylayer_starlette import EveryLayerMiddleware

    async def home(request: Any) -> Any:
        return PlainTextResponse("ok")

    app = Starlette(routes=[Route("/", home)])
    app.add_middleware(EveryLayerMiddleware, tenant=tenant, **more)
    StarletteInstrumentor().instrument_app(app)
    yield _repeated(_asgi(app))


@contextlib.contextmanager
def _django(tenant: str) -> Iterator[Callable[[], object]]:
    import django
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpResponse
    from django.urls import path
    from opentelemetry.instrumentation.django import DjangoInstrumentor

    def home(request: Any) -> Any:
        return HttpResponse("ok")

    everylayer.configure(tenant=tenant)
    settings.configure(
        SECRET_KEY="not a secret",
        ROOT_URLCONF=(path("", home),),
        ALLOWED_HOSTS=["127.0.0.1"],
        MIDDLEWARE=["everylayer_django.EveryLayerMiddleware"],
        LOGGING_CONFIG=None,
    )
    django.setup()
    logging.getLogger("django").setLevel(logging.CRITICAL + 1)
    DjangoInstrumentor().instrument()
    yield _repeated(_wsgi(get_wsgi_application()))


def _wsgi(app: Any) -> Callable[[], object]:
    environ: dict[str, Any] = {"HTTP_X_TENANT_ID": "acme", "REMOTE_ADDR": "127.0.0.1"}
    setup_testing_defaults(environ)

    def start(status: str, headers: Any, exc_info: Any = None) -> Any:
        assert status == "200 OK", status

    def call() -> None:
        body = app(dict(environ), start)
        for _ in body:
            pass
        if hasattr(body, "close"):
            body.close()

    return call


def _asgi(app: Any) -> Callable[[], object]:
    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        assert message.get("status", 200) == 200

    headers = [(b"host", b"127.0.0.1"), (b"x-tenant-id", b"acme"), (b"accept", b"*/*")]

    def call() -> None:
        scope = {"type": "http", "method": "GET", "scheme": "http", "path": "/", "root_path": ""}
        more = {"query_string": b"", "headers": headers, "client": ("127.0.0.1", 5000)}
        last = {"server": ("127.0.0.1", 80), "http_version": "1.1"}
        # No loop: nothing in it waits.
        with contextlib.suppress(StopIteration):
            app({**scope, **more, **last}, receive, send).send(None)

    return call


@contextlib.contextmanager
def _httpx(ours: bool) -> Iterator[Callable[[], object]]:
    import httpx

    from everylayer.clients import httpx as attached

    # Nothing is sent: a connection would only make the ratio smaller.
    with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200))) as client:
        if ours:
            attached.attach(client)
        yield _repeated(lambda: client.get("http://stock.internal/"))


@contextlib.contextmanager
def _requests(ours: bool) -> Iterator[Callable[[], object]]:
    import requests
    from requests.adapters import BaseAdapter

    from everylayer.clients import requests as attached

    class Adapter(BaseAdapter):
        def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
            response = requests.Response()
            response.status_code, response.request, response.url = 200, request, request.url
            response.raw, response._content = io.BytesIO(), b""
            return response

        def close(self) -> None:
            return None

    with requests.Session() as session:
        session.trust_env = False
        session.mount("http://", Adapter())
        if ours:
            attached.attach(session)
        yield _repeated(lambda: session.get("http://stock.internal/").close())


@contextlib.contextmanager
def _urllib3(ours: bool) -> Iterator[Callable[[], object]]:
    import urllib3
    from urllib3.connectionpool import HTTPConnectionPool

    from everylayer.clients import urllib3 as attached

    class Pool(HTTPConnectionPool):
        def _make_request(self, *args: Any, **kwargs: Any) -> Any:
            return urllib3.HTTPResponse(body=b"", status=200, preload_content=False)

    with urllib3.PoolManager() as manager:
        manager.pool_classes_by_scheme = {"http": Pool}
        if ours:
            attached.attach(manager)
        yield _repeated(lambda: manager.request("GET", "http://stock.internal/"))


def _propagator(ours: bool) -> Any:
    if ours:
        return Propagator(baggage_keys=["app.*"], trusted_peers=["127.0.0.0/8"])
    return CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])


def _extract(ours: bool) -> Run:
    return _extracting(ours, itertools.repeat("127.0.0.1"))


def _extract_of_many(ours: bool) -> Run:
    return _extracting(ours, (f"127.{n >> 8}.{n & 255}.1" for n in itertools.count(1)))


@contextlib.contextmanager
def _extracting(ours: bool, peers: Iterator[str]) -> Iterator[Callable[[], object]]:
    from opentelemetry.instrumentation.asgi import ASGIGetter

    propagator, getter = _propagator(ours), ASGIGetter()
    headers = [(key.encode(), value.encode()) for key, value in _HEADERS.items()]
    more = [(b"host", b"127.0.0.1"), (b"accept", b"*/*"), (b"user-agent", b"benchmark")]
    scope: dict[str, Any] = {"type": "http", "headers": more + headers}

    def call() -> None:
        scope["client"] = (next(peers), 5000)
        propagator.extract(scope, getter=getter)

    yield _repeated(call)


@contextlib.contextmanager
def _inject(ours: bool) -> Iterator[Callable[[], object]]:
    propagator = _propagator(ours)
    made = baggage.set_baggage("app.plan", "gold")
    span = TracerProvider().get_tracer("benchmark").start_span("GET /")
    token = context.attach(trace.set_span_in_context(span, made))
    yield _repeated(lambda: propagator.inject({}))
    context.detach(token)
