"""A Starlette app with a layer that loses the context, and one that catches too much."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route


class CatchAll:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        started = False

        async def watch(message: Any) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except BaseException:
            if started:
                raise
            await PlainTextResponse("failed", status_code=500)(scope, receive, send)


class Fresh:
    """Runs what is inside in a context of its own making."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        inside = self.app(scope, receive, send)
        await contextvars.Context().run(asyncio.get_running_loop().create_task, inside)


class Session:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


async def later() -> None:
    return None


async def index(request: Any) -> PlainTextResponse:
    return PlainTextResponse("index", background=BackgroundTask(later))


app = Starlette(
    routes=[Route("/", index)],
    middleware=[Middleware(CatchAll), Middleware(Fresh), Middleware(Session)],
)
