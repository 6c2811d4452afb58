"""Starlette: no-op layers as plain ASGI classes, and an in-process client."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from . import canary, faults, layers, work

_server_log = logging.getLogger("uvicorn.error")


async def ok(request: Request) -> Response:
    return PlainTextResponse("ok")


async def view(request: Request) -> Response:
    faults.named(request.path_params["name"])()
    return PlainTextResponse("not reached")


async def busy(request: Request) -> Response:
    work.compute()
    if request.path_params["name"] == "fail":
        faults.named("deep")()
    return PlainTextResponse("ok")


async def storm(request: Request) -> Response:
    canary.fail()
    return PlainTextResponse("not reached")


def build(arm: str, count: int, *, catching: bool = False) -> Starlette:
    """Return the app of `arm`; the middle one of its layers is the one that can fail."""
    app = Starlette(
        routes=[
            Route("/ok", ok),
            Route("/fail/{name}", view),
            Route("/work/{name}", busy),
            Route("/storm", storm),
        ],
        middleware=[
            Middleware(layer) for layer in layers.classes("asgi", count, catching=catching)
        ],
    )
    if arm in ("stock", "everylayer"):
        from opentelemetry.instrumentation.starlette import StarletteInstrumentor

        StarletteInstrumentor().instrument_app(app)
    if arm == "everylayer":
        from everylayer_starlette import EveryLayerMiddleware

        app.add_middleware(EveryLayerMiddleware)
    return app


class Client:
    """Sends requests one after the other, as a server in the same process would."""

    def __init__(self, app: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._app = app
        self._loop = loop

    def run(self, paths: Sequence[str]) -> int:
        """Request each of `paths`; return how many of them failed."""
        return self._loop.run_until_complete(self._run(paths))

    async def _run(self, paths: Sequence[str]) -> int:
        failed = 0
        for path in paths:
            failed += await request(self._app, path)
        return failed


async def request(app: Any, path: str) -> bool:
    """Send one GET request; tell whether the answer was a 5xx."""
    status = 0
    body_sent = False

    async def receive() -> Any:
        nonlocal body_sent
        if not body_sent:
            body_sent = True
            return {"type": "http.request", "body": b"", "more_body": False}
        # Until the client goes away; whoever listens for that is cancelled.
        await asyncio.get_running_loop().create_future()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]

    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1:8000"), (b"user-agent", b"bench"), (b"accept", b"*/*")],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "state": {},
        "extensions": {},
    }
    if path == "/storm":
        scope["bench.canary"] = canary.Canary("request")
    try:
        await app(scope, receive, send)
    except Exception as exc:
        # As uvicorn does with what reaches it.
        _server_log.error("Exception in ASGI application\n", exc_info=exc)
        return True
    return status >= 500
