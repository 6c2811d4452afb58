"""The app factory: middleware, routes and exception handlers in one place."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import TypedDict

import httpx
from asgi_correlation_id import CorrelationIdMiddleware
from opentelemetry.instrumentation.starlette import StarletteInstrumentor
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from shop import inventory, tracing
from shop.errors import ShopError

from . import layers, views


class State(TypedDict):
    """What lives as long as the app."""

    client: httpx.AsyncClient


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[State]:
    """Keep one HTTP client for all requests."""
    async with httpx.AsyncClient(timeout=inventory.TIMEOUT) as client:
        yield {"client": client}


def create_app() -> Starlette:
    """Build the shop."""
    tracing.start("starlette-shop")
    app = Starlette(
        routes=views.routes,
        lifespan=lifespan,
        exception_handlers={ShopError: views.answer},
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "testserver"]),
            Middleware(CorrelationIdMiddleware, validator=layers.is_request_id),
            Middleware(GZipMiddleware),
            Middleware(layers.AccessLogMiddleware),
            Middleware(layers.RecoveryMiddleware),
            Middleware(CORSMiddleware, allow_origins=["https://shop.example"]),
            Middleware(AuthenticationMiddleware, backend=layers.TokenBackend()),
            Middleware(layers.TenantMiddleware),
        ],
    )
    StarletteInstrumentor.instrument_app(app)
    return app
