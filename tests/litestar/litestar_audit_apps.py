"""Apps to audit: layers of each form at each level, hooks, handlers, routes of each kind."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator
from typing import Any, ClassVar

from litestar import Controller, Litestar, Request, Response, Router, get
from litestar.config.allowed_hosts import AllowedHostsConfig
from litestar.di import Provide
from litestar.handlers import websocket_listener
from litestar.middleware import AbstractMiddleware, ASGIMiddleware, DefineMiddleware
from litestar.middleware.rate_limit import RateLimitConfig
from litestar.response import Stream


class Outer(ASGIMiddleware):
    """Passes each message on by a function of its own."""

    async def handle(self, scope: Any, receive: Any, send: Any, next_app: Any) -> None:
        async def send_on(message: Any) -> None:
            await send(message)

        await next_app(scope, receive, send_on)


class Recovering(ASGIMiddleware):
    """Answers for what fails inside, unless the response has begun."""

    async def handle(self, scope: Any, receive: Any, send: Any, next_app: Any) -> None:
        started = False

        async def watched(message: Any) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await next_app(scope, receive, watched)
        except Exception:
            if started:
                raise
            await send({"type": "http.response.start", "status": 503, "headers": []})
            await send({"type": "http.response.body", "body": b"recovered"})


class Plain:
    """A class like any ASGI middleware; it is made once for each route."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)

    class Abstract(AbstractMiddleware):
        """What Litestar's documentation recommended before; its `__call__` is wrapped."""

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await self.app(scope, receive, send)


def closure(app: Any) -> Any:
    """A function that makes a function."""

    async def layer(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    return layer


def unchanged(app: Any) -> Any:
    """An entry that adds nothing, as for a feature that is switched off."""
    return app


def checked(connection: Any, handler: Any) -> None:
    """A guard of two controllers."""


async def before(request: Request[Any, Any, Any]) -> None:
    pass


async def after(response: Response[Any]) -> Response[Any]:
    return response


async def afterwards(request: Request[Any, Any, Any]) -> None:
    pass


async def stamp(message: Any, scope: Any) -> None:
    pass


async def noted(exc: Exception, scope: Any) -> None:
    pass


def missing(request: Request[Any, Any, Any], exc: Exception) -> Response[Any]:
    return Response("missing", status_code=404)


async def connection() -> AsyncIterator[int]:
    yield 7


class Orders(Controller):
    """A controller with everything."""

    path = "/orders"
    guards: ClassVar[Any] = [checked]
    middleware: ClassVar[Any] = [closure]
    dependencies: ClassVar[Any] = {"connection": Provide(connection)}
    exception_handlers: ClassVar[Any] = {LookupError: missing}

    @get("/")
    async def order(self, connection: int) -> str:
        return f"order {connection}"

    @get("/slow", sync_to_thread=True)
    def slow(self) -> str:
        return "slow"

    @get("/lost")
    async def lost(self) -> str:
        raise LookupError("lost")


class Users(Controller):
    """Shares its guard and the class of its layer with the other one."""

    path = "/users"
    guards: ClassVar[Any] = [checked]
    middleware: ClassVar[Any] = [closure]

    @get("/")
    async def user(self) -> str:
        return "user"


@get(["/", "/home"])
async def page() -> str:
    return "page"


@get("/stream", middleware=[unchanged, Plain])
async def stream() -> Stream:
    async def parts() -> AsyncIterator[str]:
        for number in range(3):
            await asyncio.sleep(0)
            yield f"part {number}\n"

    return Stream(parts())


@websocket_listener("/talk")
async def talk(data: str) -> str:
    return data


def application(**more: Any) -> Litestar:
    """Return one with all of it."""
    return Litestar(
        [Router("/api", route_handlers=[Orders, Users]), page, stream, talk],
        middleware=[
            Outer(),
            Recovering(),
            DefineMiddleware(Plain),
            DefineMiddleware(Abstract),
            RateLimitConfig(("day", 10_000), set_rate_limit_headers=False).middleware,
        ],
        before_request=before,
        after_request=after,
        after_response=afterwards,
        before_send=[stamp],
        after_exception=[noted],
        allowed_hosts=AllowedHostsConfig(["shop.example"]),
        **more,
    )
