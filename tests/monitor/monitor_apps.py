"""One app of each framework, with one layer of each kind that does as it is told."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from monitor_acts import Acts

from contract.drive import environ, run_asgi, run_wsgi, scope
from contract.responses import Run

to_do: list[str] = []


def act(layer: Acts) -> None:
    getattr(layer, to_do[0])()


class AsgiLayer(Acts):
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            act(self)
        await self.app(scope, receive, send)


class WsgiLayer(Acts):
    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: Any, start_response: Any) -> Any:
        act(self)
        return self.app(environ, start_response)


class DjangoLayer(Acts):
    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        act(self)
        return self.get_response(request)


class Served(NamedTuple):
    """A running app; the layer that acts is called `layer` in spans."""

    run: Callable[[], Run]
    layer: str


def _answering(status: int) -> Any:
    from starlette.responses import Response

    # Not in a thread, which would keep the app for a while.
    async def endpoint(request: Any) -> Response:
        return Response(status_code=status)

    return endpoint


@contextlib.contextmanager
def starlette(status: int = 200, **settings: Any) -> Iterator[Served]:
    from starlette.applications import Starlette
    from starlette.routing import Route

    from everylayer_starlette import EveryLayerMiddleware

    app = Starlette(routes=[Route("/", _answering(status))])
    app.add_middleware(AsgiLayer)
    app.add_middleware(EveryLayerMiddleware, **settings)
    yield Served(lambda: run_asgi(app, scope()), "AsgiLayer")


@contextlib.contextmanager
def starlette_dispatch(status: int = 200, **settings: Any) -> Iterator[Served]:
    from starlette.applications import Starlette
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.routing import Route

    from everylayer_starlette import EveryLayerMiddleware

    class Dispatching(Acts, BaseHTTPMiddleware):
        async def dispatch(self, request: Any, call_next: Any) -> Any:
            response = await call_next(request)
            act(self)
            return response

    app = Starlette(routes=[Route("/", _answering(status))])
    app.add_middleware(Dispatching)
    app.add_middleware(EveryLayerMiddleware, **settings)
    yield Served(lambda: run_asgi(app, scope()), "Dispatching")


@contextlib.contextmanager
def litestar(status: int = 200, **settings: Any) -> Iterator[Served]:
    from litestar import Litestar, get
    from litestar.middleware import ASGIMiddleware

    from everylayer_litestar import EveryLayerPlugin

    class Handling(Acts, ASGIMiddleware):
        async def handle(self, scope: Any, receive: Any, send: Any, next_app: Any) -> None:
            act(self)
            await next_app(scope, receive, send)

    @get("/", status_code=status)
    async def endpoint() -> str:
        return ""

    plugins = [EveryLayerPlugin(**settings)]
    app = Litestar([endpoint], middleware=[Handling()], plugins=plugins, openapi_config=None)
    yield Served(lambda: run_asgi(app, scope()), "Handling")


@contextlib.contextmanager
def litestar_abstract(status: int = 200, **settings: Any) -> Iterator[Served]:
    from litestar import Litestar, get
    from litestar.middleware import AbstractMiddleware

    from everylayer_litestar import EveryLayerPlugin

    class Wrapped(Acts, AbstractMiddleware):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            act(self)
            await self.app(scope, receive, send)

    @get("/", status_code=status)
    async def endpoint() -> str:
        return ""

    plugins = [EveryLayerPlugin(**settings)]
    app = Litestar([endpoint], middleware=[Wrapped], plugins=plugins, openapi_config=None)
    yield Served(lambda: run_asgi(app, scope()), "Wrapped")


@contextlib.contextmanager
def litestar_guard(status: int = 200, **settings: Any) -> Iterator[Served]:
    from litestar import Litestar, get

    from everylayer_litestar import EveryLayerPlugin

    class Guard(Acts):
        async def __call__(self, connection: Any, handler: Any) -> None:
            act(self)

    @get("/", status_code=status, guards=[Guard()])
    async def endpoint() -> str:
        return ""

    app = Litestar([endpoint], plugins=[EveryLayerPlugin(**settings)], openapi_config=None)
    yield Served(lambda: run_asgi(app, scope()), "Guard")


@contextlib.contextmanager
def flask(status: int = 200, **settings: Any) -> Iterator[Served]:
    from flask import Flask

    from everylayer_flask import EveryLayer

    app = Flask("monitored")
    app.add_url_rule("/", "index", lambda: ("", status))
    app.wsgi_app = WsgiLayer(app.wsgi_app)  # type: ignore[method-assign]
    EveryLayer(app, **settings)
    yield Served(lambda: run_wsgi(app, environ()), "WsgiLayer")


@contextlib.contextmanager
def flask_hook(status: int = 200, **settings: Any) -> Iterator[Served]:
    from flask import Flask

    from everylayer_flask import EveryLayer

    app = Flask("monitored")
    app.add_url_rule("/", "index", lambda: ("", status))
    EveryLayer(app, **settings)

    class Hook(Acts):
        def __call__(self) -> None:
            act(self)

    app.before_request(Hook())
    yield Served(lambda: run_wsgi(app, environ()), "Hook")


@contextlib.contextmanager
def django(status: int = 200, **settings: Any) -> Iterator[Served]:
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpResponse
    from django.test import override_settings
    from django.urls import path

    from everylayer_django import patches

    urls = (path("", lambda request: HttpResponse(status=status)),)
    middleware = [f"{__name__}.DjangoLayer", "everylayer_django.EveryLayerMiddleware"]
    with override_settings(MIDDLEWARE=middleware, EVERYLAYER=settings, ROOT_URLCONF=urls):
        app = WSGIHandler()
        yield Served(lambda: run_wsgi(app, environ()), "DjangoLayer")
    patches.uninstall()


APPS = [
    starlette,
    starlette_dispatch,
    litestar,
    litestar_abstract,
    litestar_guard,
    flask,
    flask_hook,
    django,
]
