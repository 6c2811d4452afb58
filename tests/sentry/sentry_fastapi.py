"""The FastAPI app: what is inside its layer runs in a task of its own."""

from __future__ import annotations

from typing import Any

import fastapi
from fastapi import BackgroundTasks, Request
from fastapi.responses import PlainTextResponse, StreamingResponse
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

import everylayer_starlette
from sentry_apps import act, body, fail


async def view(where: str, request: Request, later: BackgroundTasks) -> Any:
    path = request.url.path
    if where == "stream":
        return StreamingResponse(body(path))
    if where == "background":
        later.add_task(fail, path)
    act(path)
    return PlainTextResponse("fine", background=later)


async def forgive(request: Any, error: Exception) -> Any:
    return PlainTextResponse("forgiven", 409)


async def passing(request: Any, call_next: Any) -> Any:
    return await call_next(request)


def made(stock: bool, settings: dict[str, Any], layer: Any) -> fastapi.FastAPI:
    """Return the app with `layer` around one of `@app.middleware`."""
    app = fastapi.FastAPI(exception_handlers={LookupError: forgive})
    app.get("/{where}/{kind}")(view)
    app.middleware("http")(passing)
    app.add_middleware(layer)
    if stock:
        FastAPIInstrumentor.instrument_app(app)
    if settings:
        app.add_middleware(everylayer_starlette.EveryLayerMiddleware, **settings)
    return app
