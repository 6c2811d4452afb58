"""Applications to audit: layers of each kind, sub-applications, handlers of each kind."""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

from aiohttp import web


@web.middleware
async def outer(request: Any, handler: Any) -> Any:
    return await handler(request)


@web.middleware
async def recovering(request: Any, handler: Any) -> Any:
    try:
        response = await handler(request)
    except web.HTTPException:
        raise
    except Exception:
        return web.Response(text="recovered", status=503)
    return response


class Counting:
    """Two of one class, and of one code."""

    __middleware_version__ = 1

    def __init__(self, name: str) -> None:
        self.name = name

    async def __call__(self, request: Any, handler: Any) -> Any:
        return await handler(request)


def limited(size: int) -> Any:
    """Return what shares its code with others of the factory."""

    @web.middleware
    async def limit(request: Any, handler: Any) -> Any:
        if (request.content_length or 0) > size:
            raise web.HTTPRequestEntityTooLarge(size, size + 1)
        return await handler(request)

    return limit


async def old_style(app: Any, handler: Any) -> Any:
    """A factory, as middlewares were before aiohttp 2.3."""

    async def layer(request: Any) -> Any:
        return await handler(request)

    return layer


async def page(request: Any) -> Any:
    return web.Response(text=f"page {request.query.get('n', '')}")


async def stream(request: Any) -> Any:
    response = web.StreamResponse()
    await response.prepare(request)
    for number in range(3):
        await response.write(b"part %d\n" % number)
    return response


class Order(web.View):
    """A class of handlers."""

    async def get(self) -> Any:
        return web.Response(text=f"order {self.request.match_info['number']}")


class Query:
    """An object that is a handler, as GraphQL's packages have it."""

    async def __call__(self, request: Any) -> Any:
        return web.Response(text="query")


async def inner_page(request: Any) -> Any:
    return web.Response(text="inner")


async def stamp(request: Any, response: Any) -> None:
    response.headers["x-stamp"] = "1"


async def gone(request: Any) -> Any:
    raise asyncio.CancelledError


async def ending(request: Any) -> Any:
    raise SystemExit(3)


def application() -> web.Application:
    """Return one with layers of each form, and another application in it."""
    inner = web.Application(middlewares=[outer, limited(2)])
    inner.router.add_get("/", inner_page)
    app = web.Application(
        # Stock's own class of applications cannot be made with a tuple.
        middlewares=(outer, recovering, Counting("a"), Counting("b"), limited(1)),
    )
    app.router.add_get("/", page)
    app.router.add_get("/again", page)
    app.router.add_get("/stream", stream)
    app.router.add_view("/orders/{number}", Order)
    app.router.add_get("/query", Query())
    app.router.add_get("/gone", gone)
    app.router.add_get("/ending", ending)
    app.add_subapp("/inner", inner)
    app.on_response_prepare.append(stamp)
    return app


def of_old_style() -> web.Application:
    """Return one whose middleware is a factory."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        app = web.Application(middlewares=[old_style])
    app.router.add_get("/", page)
    return app


def twice_answered() -> web.Application:
    """Return one with a layer that answers for a stream that has begun."""
    app = web.Application(middlewares=[recovering])
    app.router.add_get("/", stream)
    return app


def without_its_database() -> web.Application:
    """Return one that does not start."""

    async def connect(app: Any) -> None:
        raise ConnectionRefusedError("nobody listens at 5432")

    app = web.Application()
    app.on_startup.append(connect)
    return app
