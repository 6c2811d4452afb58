"""Apps as people write them, each in a shape of its own; their layers say when they run."""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Callable
from typing import Any

import fastapi
import starlette.applications
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, Router

from asgi_kit import HAS_NATIVE

# What has run, in order; the truth that a chain is compared with.
ran: contextvars.ContextVar[list[str]] = contextvars.ContextVar("ran")


def runs(name: str) -> None:
    ran.get([]).append(name)


class Pure:
    """Passes on what comes, with a `send` of its own."""

    def __init__(self, app: Any, name: str = "Pure") -> None:
        self.app = app
        self.name = name

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_counted(message: Any) -> None:
            await send(message)

        runs(self.name)
        await self.app(scope, receive, send_counted)


class Hides:
    """Holds the next app where nobody looks for it."""

    __slots__ = ("held",)

    def __init__(self, app: Any) -> None:
        self.held = [app]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        runs("Hides")
        await self.held[0](scope, receive, send)


class Dispatches(BaseHTTPMiddleware):
    """Starlette's convenience class."""

    async def dispatch(self, request: Any, call_next: Any) -> Any:
        runs("Dispatches")
        return await call_next(request)


def factory(app: Any) -> Any:
    async def closure(scope: Any, receive: Any, send: Any) -> None:
        runs("factory.closure")
        await app(scope, receive, send)

    return closure


async def function_layer(request: Any, call_next: Any) -> Any:
    runs("function_layer")
    return await call_next(request)


async def page(request: Any) -> Any:
    runs("page")
    return PlainTextResponse("a page")


def sync_page(request: Any) -> Any:
    runs("sync_page")
    return PlainTextResponse("a page from a thread")


async def streamed(request: Any) -> Any:
    async def chunks() -> Any:
        yield "one"
        yield "two"

    runs("streamed")
    return StreamingResponse(chunks())


class Orders(HTTPEndpoint):
    async def get(self, request: Any) -> Any:
        runs("Orders.get")
        return PlainTextResponse("orders")

    async def post(self, request: Any) -> Any:
        return PlainTextResponse("ordered")


async def on_value_error(request: Any, exc: Exception) -> Any:
    return PlainTextResponse("a handler's", 500)


def routes() -> list[Any]:
    """Return routes that no earlier app lets go of, whenever that is freed."""
    return [
        Route("/", page),
        Route("/sync", sync_page),
        Route("/streamed", streamed),
        Route("/orders", Orders),
        Route("/own", page, middleware=[Middleware(Pure, name="Pure of a route")]),
        Mount("/plain", routes=[Route("/page", page)]),
    ]


def layers() -> list[Middleware]:
    return [
        Middleware(Pure),
        Middleware(factory),
        Middleware(Hides),
        Middleware(Dispatches),
        Middleware(BaseHTTPMiddleware, dispatch=function_layer),
        Middleware(functools.partial(Pure, name="Pure by a partial")),
    ]


def starlette_app() -> Any:
    return starlette.applications.Starlette(
        routes=routes(), middleware=layers(), exception_handlers={ValueError: on_value_error}
    )


def mounting_app() -> Any:
    within = starlette.applications.Starlette(
        routes=[Route("/page", page)], middleware=[Middleware(Pure), Middleware(factory)]
    )
    mounted = [Mount("/within", app=within, middleware=[Middleware(factory)])]
    return starlette.applications.Starlette(routes=mounted, middleware=[Middleware(Pure)])


def wrapped_app() -> Any:
    return Pure(factory(starlette_app()), name="Pure outside")


def router_app() -> Any:
    return Pure(Router([Route("/", page)], middleware=[Middleware(Dispatches)]))


# FastAPI


async def counted() -> int:
    runs("counted")
    return 1


async def connection(number: int = fastapi.Depends(counted)) -> Any:
    runs("connection")
    yield number


class Paging:
    def __init__(self, page: int = 1) -> None:
        runs("Paging.__init__")
        self.page = page


class Checks:
    def __call__(self, page: int = 1) -> None:
        runs("Checks")


def fastapi_app() -> Any:
    quiet: dict[str, Any] = {"tracing": False, "metrics": False, "logs": False}
    app = fastapi.FastAPI(openapi_url=None, **({"telemetry": quiet} if HAS_NATIVE else {}))
    app.add_middleware(Pure)
    app.add_middleware(Dispatches)
    app.add_exception_handler(ValueError, on_value_error)
    router = fastapi.APIRouter(prefix="/v1", dependencies=[fastapi.Depends(Checks())])

    @router.get("/items", dependencies=[fastapi.Depends(connection), fastapi.Depends(Paging)])
    async def items() -> dict[str, int]:
        runs("items")
        return {}

    @app.get("/sync")
    def plain() -> dict[str, int]:
        runs("plain")
        return {}

    app.include_router(router)
    return app


# Each with the paths that are asked for.
APPS: dict[Callable[[], Any], tuple[str, ...]] = {
    starlette_app: ("/", "/sync", "/streamed", "/orders", "/own", "/plain/page"),
    mounting_app: ("/within/page",),
    wrapped_app: ("/",),
    router_app: ("/",),
    fastapi_app: ("/v1/items", "/sync"),
}
