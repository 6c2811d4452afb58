"""The same app in every framework, bare or watched by stock, by everylayer, or by both."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from contract import drive
from contract.responses import Raised, Run
from kit_faults import ANSWERS, fail_if, parts
from kit_plain import Body, asgi_app, asgi_layer, wsgi_app, wsgi_layer

WSGI = ("wsgi", "flask", "django-wsgi")
ASGI = ("asgi", "starlette", "django-asgi")
FRAMEWORKS = (*WSGI, *ASGI)


class Arm(NamedTuple):
    """Who watches the app."""

    everylayer: bool = False
    stock: bool = False


BARE, OURS, STOCK, BOTH = Arm(), Arm(everylayer=True), Arm(stock=True), Arm(True, True)


@contextlib.contextmanager
def served(framework: str, arm: Arm) -> Iterator[Any]:
    """Give the WSGI or ASGI app of `framework`; on the way out nothing of `arm` is left."""
    if framework.startswith("django"):
        with _django(framework, arm) as app:
            yield app
    elif framework == "flask":
        with _flask(arm) as app:
            yield app
    elif framework == "starlette":
        with _starlette(arm) as app:
            yield app
    else:
        yield _plain(framework, arm)


def call(app: Any, framework: str, path: str, headers: drive.Headers = ()) -> Run:
    """Serve one request of `app` as a server does."""
    if framework in WSGI:
        return _plain_run(drive.run_wsgi(app, drive.environ(path, headers)))
    try:
        return _plain_run(drive.run_asgi(app, drive.scope(path, headers)))
    except (SystemExit, KeyboardInterrupt) as error:
        # A task of the framework's own lets these out of the event loop.
        return Run(None, (), b"", Raised.of(error))


def _plain_run(run: Run) -> Run:
    """Leave the frames out that everylayer cannot take out of a traceback before Python 3.11.

    There `Raised` leaves out those of its files, with one that stands in for Flask's own.
    """
    if run.raised is None or sys.version_info >= (3, 11):
        return run
    functions = tuple(name for name in run.raised.functions if name != "__call__")
    return replace(run, raised=replace(run.raised, functions=functions))


def _plain(framework: str, arm: Arm) -> Any:
    if framework == "wsgi":
        app: Any = wsgi_layer(wsgi_app)
        if arm.everylayer:
            from everylayer_flask import EveryLayerMiddleware

            app = EveryLayerMiddleware(app)
        if arm.stock:
            from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware

            app = OpenTelemetryMiddleware(app)
        return app
    app = asgi_layer(asgi_app)
    if arm.everylayer:
        from everylayer_starlette import EveryLayerMiddleware as AsgiMiddleware

        app = AsgiMiddleware(app)
    if arm.stock:
        from opentelemetry.instrumentation.asgi import (
            OpenTelemetryMiddleware as AsgiOpenTelemetryMiddleware,
        )

        app = AsgiOpenTelemetryMiddleware(app)
    return app


_names = map("app{}".format, itertools.count())


@contextlib.contextmanager
def _flask(arm: Arm) -> Iterator[Any]:
    import logging

    import flask

    name = next(_names)
    app = flask.Flask(name)
    logging.getLogger(name).setLevel(logging.CRITICAL + 1)

    @app.get("/<kind>/<number>")
    def view(kind: str, number: str) -> Any:
        fail_if(kind, number, "view", "exit")
        if kind == "stream":
            body = iter(Body(kind, number))
            return flask.Response(body, mimetype="text/plain", headers={"x-number": number})
        answer = flask.Response("fine", mimetype="text/plain", headers={"x-number": number})
        if kind == "late":
            answer.call_on_close(lambda: fail_if(kind, number, "late"))
        return answer

    own = app.wsgi_app

    # What Flask's own error handling would answer for fails between the layers.
    def inner(environ: Any, start_response: Any) -> Any:
        kind, number = parts(environ["PATH_INFO"])
        fail_if(kind, number, *ANSWERS)
        return own(environ, start_response)

    app.wsgi_app = wsgi_layer(inner)  # type: ignore[method-assign]
    if arm.stock:
        from opentelemetry.instrumentation.flask import FlaskInstrumentor

        FlaskInstrumentor().instrument_app(app)  # type: ignore[no-untyped-call]
    if arm.everylayer:
        from everylayer_flask import EveryLayer

        EveryLayer(app)
    try:
        yield app
    finally:
        logging.Logger.manager.loggerDict.pop(name, None)


@contextlib.contextmanager
def _starlette(arm: Arm) -> Iterator[Any]:
    import asyncio

    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.middleware import Middleware
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, Response, StreamingResponse
    from starlette.routing import Route

    from kit_django import async_pieces

    async def view(request: Request) -> Response:
        kind, number = parts(request.url.path)
        await asyncio.sleep(0)
        fail_if(kind, number, "view", "exit", *ANSWERS)
        headers = {"x-number": number}
        if kind == "stream":
            return StreamingResponse(async_pieces(kind, number), headers=headers)
        late = BackgroundTask(fail_if, kind, number, "late") if kind == "late" else None
        return PlainTextResponse("fine", headers=headers, background=late)

    app = Starlette(routes=[Route("/{kind}/{number}", view)], middleware=[Middleware(asgi_layer)])
    if arm.everylayer:
        from everylayer_starlette import EveryLayerMiddleware

        app.add_middleware(EveryLayerMiddleware)
    if not arm.stock:
        yield app
        return
    from opentelemetry.instrumentation.starlette import StarletteInstrumentor

    StarletteInstrumentor.instrument_app(app)
    try:
        yield app
    finally:
        StarletteInstrumentor.uninstrument_app(app)


@contextlib.contextmanager
def _django(framework: str, arm: Arm) -> Iterator[Any]:
    import kit_django
    from contract import django_settings

    django_settings.configure()
    from django.core.handlers.asgi import ASGIHandler
    from django.core.handlers.wsgi import WSGIHandler
    from django.test.utils import override_settings

    from everylayer_django import patches

    asynchronous = framework == "django-asgi"
    urls = kit_django.AsyncUrls if asynchronous else kit_django.SyncUrls
    entries = [kit_django.LAYER]
    if arm.everylayer:
        entries.insert(0, kit_django.ENTRY)
    patches.uninstall()
    make: Callable[[], Any] = ASGIHandler if asynchronous else WSGIHandler
    with contextlib.ExitStack() as stack:
        stack.callback(patches.uninstall)
        stack.enter_context(override_settings(ROOT_URLCONF=urls, MIDDLEWARE=entries))
        if arm.stock:
            from opentelemetry.instrumentation.django import DjangoInstrumentor

            DjangoInstrumentor().instrument(skip_dep_check=True)
            stack.callback(DjangoInstrumentor().uninstrument)
        yield make()
