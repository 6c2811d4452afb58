"""Endpoints, routes and the exception handler."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
from starlette.authentication import requires
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from shop import drill, inventory
from shop.errors import STATUS, OutOfStock, ShopError

from .layers import PricingMiddleware


def asked(request: Request) -> str | None:
    """Return which point of failure the request asks for."""
    return request.headers.get(drill.HEADER)


async def health(request: Request) -> Response:
    """Answer the load balancer."""
    return PlainTextResponse("ok")


@requires("customer", status_code=401)
async def order(request: Request) -> Response:
    """Return one order and mail its receipt afterwards."""
    number = request.path_params["number"]
    total = basket_total(request, number)
    mail = BackgroundTask(mail_receipt, asked(request))
    return JSONResponse({"order": number, "total": total}, background=mail)


def basket_total(request: Request, number: int) -> int:
    """Return what order `number` costs, in cents."""
    drill.check("view", asked(request))
    prices: dict[str, int] = request.state.prices
    return prices["espresso"] * number


async def mail_receipt(fail: str | None) -> None:
    """Hand the receipt to the mail relay."""
    drill.check("background", fail)


@requires("customer", status_code=401)
async def stock(request: Request) -> Response:
    """Ask the inventory service how much is left.

    Raises:
        OutOfStock: nothing is left.
    """
    sku = request.path_params["sku"]
    left = await inventory.in_stock_async(request.state.client, sku, asked(request))
    if not left:
        raise OutOfStock(f"no {sku} is left")
    return JSONResponse({"sku": sku, "left": left})


@requires("customer", status_code=401)
async def offers(request: Request) -> Response:
    """Ask two price sources at once; each may fail."""
    found: dict[str, int] = {}

    async def ask(source: str) -> None:
        drill.check("render", asked(request))
        found[source] = 990

    async with anyio.create_task_group() as group:
        group.start_soon(ask, "house")
        group.start_soon(ask, "market")
    return JSONResponse(found)


@requires("customer", status_code=401)
async def report(request: Request) -> Response:
    """Stream a report, row by row."""
    return StreamingResponse(rows(request), media_type="text/csv")


async def rows(request: Request) -> AsyncIterator[str]:
    """Yield the report; its database may go away half way."""
    yield "order,total\n"
    yield "1,990\n"
    drill.check("stream", asked(request))
    yield "2,1980\n"


async def answer(request: Request, error: Exception) -> Response:
    """Answer the shop's own errors as JSON."""
    drill.check("error_page", asked(request))
    status = STATUS.get(type(error), 500) if isinstance(error, ShopError) else 500
    return JSONResponse({"error": str(error)}, status_code=status)


routes = [
    Route("/health", health),
    Route("/orders/{number:int}", order, middleware=[Middleware(PricingMiddleware)]),
    Route("/stock/{sku:str}", stock),
    Route("/offers", offers),
    Route("/report.csv", report),
]
