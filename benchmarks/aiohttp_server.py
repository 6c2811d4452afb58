"""What a request to aiohttp's server costs: see `counted`.

`python -m benchmarks.aiohttp_server` needs valgrind; `--time` does without. The server is aiohttp's
own, fed in memory.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiohttp import web
from opentelemetry.instrumentation.aiohttp_server import AioHttpServerInstrumentor

import everylayer_aiohttp

from .counted import LAYERS, Act, deeper, exporter, main


@web.middleware
async def nothing(request: web.Request, handler: Any) -> web.StreamResponse:
    answer: web.StreamResponse = await handler(request)
    return answer


async def works(request: web.Request) -> web.StreamResponse:
    return web.Response(text="fine")


async def fails(request: web.Request) -> web.StreamResponse:
    await deeper(20)


class Wire(asyncio.Transport):
    """Takes what the server writes."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = False
        self.written = asyncio.get_running_loop().create_future()

    def write(self, data: Any) -> None:
        if not self.written.done():
            self.written.set_result(bytes(data[:12]))

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


async def serve(arm: str, path: str, act: Act) -> Any:
    """Let `act` ask the server of one arm: it is given what asks for `path` so many times."""
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    spans = exporter()
    if arm != "bare":
        AioHttpServerInstrumentor().instrument()
    app = web.Application(middlewares=[nothing] * LAYERS)
    app.router.add_get("/works", works)
    app.router.add_get("/fails", fails)
    if arm == "both":
        everylayer_aiohttp.setup(app)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    assert runner.server is not None
    request = f"GET {path} HTTP/1.1\r\nHost: shop.example\r\n\r\n".encode()

    async def ask(times: int) -> None:
        for _ in range(times):
            wire = Wire()
            protocol: Any = runner.server()  # type: ignore[misc]
            protocol.connection_made(wire)
            protocol.data_received(request)
            answer = await wire.written
            assert answer == (b"HTTP/1.1 200" if path == "/works" else b"HTTP/1.1 500")
            protocol.connection_lost(None)
            spans.clear()

    await ask(3)
    return await act(ask)


if __name__ == "__main__":
    main("benchmarks.aiohttp_server", serve)
