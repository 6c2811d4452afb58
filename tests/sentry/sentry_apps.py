"""One app a framework whose layers fail on demand; a request's path says where and how."""

from __future__ import annotations

import functools
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from contract.drive import environ, run_asgi, run_wsgi, scope
from contract.responses import Run

ServeApp = Callable[[str], Run]


class FirstError(Exception):
    """What goes wrong at first."""


class SecondError(Exception):
    """What a layer makes of it."""


class Holder:
    """An object whose `repr` tells too much."""

    def __repr__(self) -> str:
        return f"Holder(api_key={'hunt' + '3r2repr'})"


# Sent with each request; a cookie that no name tells.
HEADERS = (("cookie", "theme=hunt3r2cookie"), ("authorization", "Bearer hunt3r2bearer0123456789"))
CARD = "4111" + 12 * "1"


def fail(path: str) -> None:
    """Raise what the last part of `path` names."""
    kind = path.rpartition("/")[2]
    if kind == "secret":
        payment = {"number": CARD, "password": "hunt" + "3r2local", "by": Holder()}
        raise FirstError(f"no such card: {payment['number']}")
    if kind == "chain":
        try:
            raise FirstError("first")
        except FirstError as first:
            raise SecondError("second") from first
    if kind == "group":
        raise ExceptionGroup("both", [FirstError("first"), SecondError("second")])
    if kind == "builtin":
        raise ValueError("a builtin takes no weak reference")
    raise FirstError("first")


KINDS = ("plain", "chain", "builtin", *(("group",) if sys.version_info >= (3, 11) else ()))
SHOWS = {
    "plain": ["FirstError"],
    "chain": ["SecondError", "FirstError"],
    "builtin": ["ValueError"],
    "group": ["ExceptionGroup", "FirstError", "SecondError"],
}


def reported(path: str) -> None:
    """Fail, and tell Sentry by hand before going on."""
    import sentry_sdk

    try:
        fail(path)
    except Exception as error:
        sentry_sdk.capture_exception(error)
        raise


def act(path: str) -> None:
    """Do what a view does that fails before it answers."""
    where = path.split("/")[1]
    if where == "handler":
        try:
            fail(path)
        except Exception as error:
            raise LookupError("no such thing") from error
    if where == "reported":
        reported(path)
    if where in ("view", "swallow"):
        fail(path)


def body(path: str) -> Iterator[bytes]:
    """Begin a stream, then fail."""
    yield b"begun"
    fail(path)


def configure_django() -> None:
    """Set Django up, once a process."""
    import django
    from django.conf import settings

    settings.configure(
        SECRET_KEY="not a secret",
        ROOT_URLCONF="sentry_django",
        ALLOWED_HOSTS=["*"],
        LOGGING_CONFIG=None,
        USE_TZ=True,
    )
    django.setup()


def django_app(stock: bool, settings: dict[str, Any], *, asynchronous: bool) -> ServeApp:
    from django.core.handlers.asgi import ASGIHandler
    from django.core.handlers.wsgi import WSGIHandler
    from django.test import override_settings
    from opentelemetry.instrumentation.django import DjangoInstrumentor

    middleware = [f"sentry_django.{name}" for name in ("Recovering", "Failing")]
    entry = ["everylayer_django.EveryLayerMiddleware"] if settings else []

    def serve(path: str) -> Run:
        with override_settings(MIDDLEWARE=[*entry, *middleware], EVERYLAYER=settings):
            if stock:
                DjangoInstrumentor().instrument()
            try:
                if asynchronous:
                    return run_asgi(ASGIHandler(), scope(path, HEADERS))
                return run_wsgi(WSGIHandler(), environ(path, HEADERS))
            finally:
                if stock:
                    DjangoInstrumentor().uninstrument()

    return serve


def _wsgi_layer(app: Any, inner: Any, request: dict[str, Any], start_response: Any) -> Any:
    path = request["PATH_INFO"]
    if path.startswith("/outer"):
        fail(path)
    if not path.startswith("/swallow"):
        return inner(request, start_response)
    app.config["PROPAGATE_EXCEPTIONS"] = True
    try:
        return inner(request, start_response)
    except Exception:
        start_response("200 OK", [])
        return [b"recovered"]
    finally:
        app.config["PROPAGATE_EXCEPTIONS"] = False


def flask_app(stock: bool, settings: dict[str, Any]) -> ServeApp:
    import flask
    from opentelemetry.instrumentation.flask import FlaskInstrumentor

    import everylayer_flask

    app = flask.Flask("shop")

    @app.errorhandler(LookupError)
    def forgive(error: LookupError) -> tuple[str, int]:
        return "forgiven", 409

    @app.before_request
    def hook() -> None:
        if flask.request.path.startswith("/layer"):
            fail(flask.request.path)

    @app.get("/<where>/<kind>")
    def view(where: str, kind: str) -> Any:
        path = flask.request.path
        if where == "stream":
            return flask.Response(body(path))
        act(path)
        return "fine"

    app.wsgi_app = functools.partial(_wsgi_layer, app, app.wsgi_app)  # type: ignore[method-assign]
    app.config["PROPAGATE_EXCEPTIONS"] = False
    if stock:
        FlaskInstrumentor().instrument_app(app)
    if settings:
        everylayer_flask.EveryLayer(app, **settings)
    return lambda path: run_wsgi(app, environ(path, HEADERS))


class _AsgiLayer:
    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        if path.startswith("/layer"):
            fail(path)
        if not path.startswith("/swallow"):
            await self.app(scope, receive, send)
            return
        failed = False
        try:
            await self.app(scope, receive, send)
        except Exception:
            failed = True
        if failed:
            from starlette.responses import PlainTextResponse

            await PlainTextResponse("recovered")(scope, receive, send)


def starlette_app(stock: bool, settings: dict[str, Any]) -> ServeApp:
    from opentelemetry.instrumentation.starlette import StarletteInstrumentor
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, Response, StreamingResponse
    from starlette.routing import Route

    import everylayer_starlette

    async def view(request: Request) -> Response:
        path, where = request.url.path, request.path_params["where"]
        if where == "stream":
            return StreamingResponse(body(path))
        if where == "background":
            return PlainTextResponse("soon", background=BackgroundTask(fail, path))
        act(path)
        return PlainTextResponse("fine")

    async def forgive(request: Request, error: Exception) -> Response:
        return PlainTextResponse("forgiven", 409)

    app = Starlette(
        routes=[Route("/{where}/{kind}", view)], exception_handlers={LookupError: forgive}
    )
    app.add_middleware(_AsgiLayer)
    if stock:
        StarletteInstrumentor.instrument_app(app)
    if settings:
        app.add_middleware(everylayer_starlette.EveryLayerMiddleware, **settings)
    return lambda path: run_asgi(app, scope(path, HEADERS))


def fastapi_app(stock: bool, settings: dict[str, Any]) -> ServeApp:
    from sentry_fastapi import made

    app = made(stock, settings, _AsgiLayer)
    return lambda path: run_asgi(app, scope(path, HEADERS))


APPS: dict[str, Callable[[bool, dict[str, Any]], ServeApp]] = {
    "django_wsgi": lambda stock, settings: django_app(stock, settings, asynchronous=False),
    "django_asgi": lambda stock, settings: django_app(stock, settings, asynchronous=True),
    "flask": flask_app,
    "starlette": starlette_app,
    "fastapi": fastapi_app,
}
# Where a request fails, by app.
PLACES = {
    "django_wsgi": ("view", "layer", "swallow", "handler", "reported", "stream"),
    "django_asgi": ("view", "layer", "swallow", "handler", "reported", "stream"),
    "flask": ("view", "layer", "outer", "swallow", "handler", "reported", "stream"),
    "starlette": ("view", "layer", "swallow", "handler", "reported", "stream", "background"),
    # Not `reported`: across the layer's task Sentry alone may or may not tell that it was.
    "fastapi": ("view", "layer", "swallow", "handler", "stream", "background"),
}
