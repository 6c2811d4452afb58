"""A run of chaos in a Starlette app, many requests at a time, and the verdict on its spans."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.instrumentation.starlette import StarletteInstrumentor
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from contract.drive import call_asgi, scope
from contract.telemetry import Telemetry
from everylayer import chaos
from everylayer.audit.store import span_data
from everylayer.chaos import Chaos, Rule
from everylayer.chaos.integrity import check
from everylayer.chaos.permit import VARIABLE
from everylayer_starlette import EveryLayerMiddleware

pytestmark = pytest.mark.skipif(sys.version_info < (3, 12), reason="chaos needs 3.12")

MANY = 60


@pytest.fixture(autouse=True)
def _staging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(VARIABLE, "staging")
    yield
    chaos.stop()


class Quota:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)
        self.app = self.app  # something is left to run after the call


class Sessions(BaseHTTPMiddleware):
    async def dispatch(self, request: Any, call_next: Any) -> Any:
        return await call_next(request)


async def stock_of(request: Any) -> PlainTextResponse:
    await asyncio.sleep(0)
    return PlainTextResponse("ok")


async def none_left(request: Any, exc: Exception) -> PlainTextResponse:
    return PlainTextResponse("none left", 404)


def make(*, everylayer: bool) -> Starlette:
    app = Starlette(
        routes=[Route("/", stock_of)],
        middleware=[Middleware(Quota), Middleware(Sessions)],
        exception_handlers={KeyError: none_left},
    )
    StarletteInstrumentor.instrument_app(app)
    if everylayer:
        app.add_middleware(EveryLayerMiddleware)
    return app


async def serve(app: Starlette) -> list[int | None]:
    async def one(number: int) -> int | None:
        trace = (number * 0x9E3779B97F4A7C15F39CC0605CEDC835) % 2**128
        header = "traceparent", f"00-{trace:032x}-{number:016x}-01"
        return (await call_asgi(app, scope("/", [header]))).status

    return list(await asyncio.gather(*map(one, range(1, MANY + 1))))


PLAN = Chaos(
    (
        Rule("stock_of", modulus=(7, 3), error="KeyError", status=404),
        Rule("Quota", "after", probability=0.1),
        Rule("*", probability=0.4, status=500),
    )
)


def test_a_run_with_everylayer_is_whole(telemetry: Telemetry) -> None:
    app = make(everylayer=True)
    assert asyncio.run(serve(app)) == [200] * MANY
    telemetry.clear()
    with chaos.start(app, PLAN) as running:
        statuses = asyncio.run(serve(app))
    result = check(running.journal.entries, map(span_data, telemetry.spans))
    assert result.ok, result
    assert result.requests == MANY
    assert {fault.layer for fault in running.journal.faults} >= {"Quota", "Sessions", "stock_of"}
    assert {500, 404} < set(statuses)
    # The same ones fail again, and none once it is over.
    with chaos.start(app, PLAN):
        assert asyncio.run(serve(app)) == statuses
    assert asyncio.run(serve(app)) == [200] * MANY


def test_the_same_run_with_stock_alone_is_not(telemetry: Telemetry) -> None:
    app = make(everylayer=False)
    with chaos.start(app, PLAN) as running:
        asyncio.run(serve(app))
    result = check(running.journal.entries, map(span_data, telemetry.spans))
    assert "errors on their trace" in {each.name for each in result.checks if not each.ok}
