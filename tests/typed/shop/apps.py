"""The one line of each framework."""

from __future__ import annotations

from concurrent import futures

import grpc
import grpc.aio
from aiohttp import web
from django.http import HttpRequest, HttpResponse
from fastapi import FastAPI
from flask import Flask
from litestar import Litestar
from starlette.applications import Starlette
from starlette.middleware import Middleware

import everylayer_aiohttp
import everylayer_django
import everylayer_flask
import everylayer_grpc
import everylayer_litestar
import everylayer_starlette


def answer(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.path)


def of_starlette() -> Starlette:
    app = Starlette(
        middleware=[Middleware(everylayer_starlette.EveryLayerMiddleware, max_events=4)]
    )
    app.add_middleware(everylayer_starlette.EveryLayerMiddleware, client_errors="all")
    return app


def of_fastapi() -> FastAPI:
    app = FastAPI()
    app.add_middleware(everylayer_starlette.EveryLayerMiddleware)
    return app


def of_flask() -> Flask:
    app = Flask(__name__)
    everylayer_flask.EveryLayer(app, max_events=4)
    later = everylayer_flask.EveryLayer(client_errors="none")
    later.init_app(app)
    app.wsgi_app = everylayer_flask.EveryLayerMiddleware(app.wsgi_app)  # type: ignore[method-assign]
    return app


def of_django() -> None:
    everylayer_django.EveryLayerMiddleware(answer)(HttpRequest())


def of_grpc() -> None:
    grpc.server(futures.ThreadPoolExecutor(), interceptors=[everylayer_grpc.server_interceptor()])
    grpc.aio.server(interceptors=[everylayer_grpc.aio_server_interceptor()])
    channel = grpc.insecure_channel("localhost:50051")
    grpc.intercept_channel(channel, *everylayer_grpc.client_interceptors())
    grpc.aio.insecure_channel(
        "localhost:50051", interceptors=everylayer_grpc.aio_client_interceptors()
    )


def of_aiohttp() -> web.Application:
    app = web.Application()
    everylayer_aiohttp.setup(app, max_events=4)
    return app


def of_litestar() -> Litestar:
    return Litestar(plugins=[everylayer_litestar.EveryLayerPlugin(client_errors="all")])
