"""What a request to a Litestar app costs: see `counted`.

`python -m benchmarks.litestar_server` needs valgrind; `--time` does without. Stock is Litestar's
own plugin, which begins the server span and one for each message.
"""

from __future__ import annotations

import logging
from typing import Any

from litestar import Litestar, get
from litestar.middleware import ASGIMiddleware
from litestar.plugins.opentelemetry import OpenTelemetryPlugin

import everylayer_litestar

from .counted import LAYERS, Act, deeper, exporter, main


class Nothing(ASGIMiddleware):
    """Passes everything on."""

    async def handle(self, scope: Any, receive: Any, send: Any, next_app: Any) -> None:
        await next_app(scope, receive, send)


@get("/works")
async def works() -> str:
    return "fine"


@get("/fails")
async def fails() -> str:
    await deeper(20)


async def serve(arm: str, path: str, act: Act) -> Any:
    """Let `act` ask the app of one arm: it is given what asks for `path` so many times."""
    logging.getLogger("litestar").setLevel(logging.CRITICAL)
    spans = exporter()
    plugins: list[Any] = [] if arm == "bare" else [OpenTelemetryPlugin()]
    if arm == "both":
        plugins.append(everylayer_litestar.EveryLayerPlugin())
    middleware = [Nothing() for _ in range(LAYERS)]
    app = Litestar(
        [works, fails],
        middleware=middleware,
        plugins=plugins,
        openapi_config=None,
        logging_config=None,
    )
    fixed = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "client": ("127.0.0.1", 5000),
        "server": ("127.0.0.1", 80),
    }
    statuses: list[int] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        if "status" in message:
            statuses.append(message["status"])

    async def ask(times: int) -> None:
        for _ in range(times):
            scope: Any = {**fixed, "headers": [(b"host", b"shop.example")], "state": {}}
            await app(scope, receive, send)
            assert statuses.pop() == (200 if path == "/works" else 500)
            spans.clear()

    await ask(3)
    return await act(ask)


if __name__ == "__main__":
    main("benchmarks.litestar_server", serve)
