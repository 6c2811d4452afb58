"""The outer service, Starlette: asks the orders through Envoy, and fails if they do."""

from __future__ import annotations

import os
from typing import Any

import httpx
from opentelemetry import baggage
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.starlette import StarletteInstrumentor
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

import envoy_spans
from everylayer.clients import httpx as everylayer_httpx
from everylayer_starlette import EveryLayerMiddleware

envoy_spans.write()
client = everylayer_httpx.attach(httpx.AsyncClient(base_url=os.environ["NEXT"], trust_env=False))
HTTPXClientInstrumentor.instrument_client(client)


async def order(request: Any) -> JSONResponse:
    kept = {k: v for k, v in request.headers.items() if k in ("x-request-id", "x-kept")}
    response = await client.get(request.url.path, headers=kept)
    response.raise_for_status()
    return JSONResponse({"baggage": dict(baggage.get_all()), "inner": response.json()})


app = Starlette(routes=[Route("/{what}", order)])
app.add_middleware(EveryLayerMiddleware)
StarletteInstrumentor().instrument_app(app)
