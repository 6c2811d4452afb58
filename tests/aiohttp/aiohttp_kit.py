"""An app under aiohttp's own server on the loopback, and a client that hides nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from aiohttp import web
from opentelemetry.instrumentation.aiohttp_server import AioHttpServerInstrumentor

import everylayer_aiohttp
from contract.responses import Raised, Run
from contract.telemetry import Telemetry
from everylayer.boundaries import aftermath
from everylayer_aiohttp import patches

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Client = Callable[..., Awaitable[Run]]

# The class that stock does not replace: a sub-app under it has no server span of its own.
Application = web.Application
GET = "GET {path} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n{lines}\r\n"


class Kit:
    """How an app is set up: with stock or without, with everylayer or without, and when.

    Args:
        stock: the instrumentation of aiohttp's server is on.
        ours: everylayer's line is there.
        when: the line comes `first`, `last`, or `between` two middlewares.
    """

    def __init__(self, *, stock: bool, ours: bool = True, when: str = "first") -> None:
        self.stock = stock
        self.ours = ours
        self.when = when

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Have stock's instrumentation on within the block."""
        if self.stock:
            AioHttpServerInstrumentor().instrument()
        try:
            yield
        finally:
            if self.stock:
                AioHttpServerInstrumentor().uninstrument()
            # The bare app is without patches too.
            patches.undo()

    def app(self, *layers: Any, **settings: Any) -> web.Application:
        """Return an app with these middlewares, outermost first."""
        app = web.Application(middlewares=list(layers[:1]))
        self.at("first", app, settings)
        app.middlewares.extend(layers[1:])
        return app

    def at(self, when: str, app: web.Application, settings: dict[str, Any] | None = None) -> None:
        """Add everylayer's line, if this is the moment for it."""
        if self.ours and self.when == when:
            everylayer_aiohttp.setup(app, **(settings or {}))

    def complete(self, app: web.Application) -> web.Application:
        """Return `app`, with the line if it comes last; or before one more middleware."""
        self.at("last", app)
        self.at("between", app)
        if self.when == "between":
            app.middlewares.insert(0, passing)
        return app


@web.middleware
async def passing(request: web.Request, handler: Handler) -> web.StreamResponse:
    return await handler(request)


class _Errors(logging.Handler):
    """Keeps what aiohttp's server logs of errors."""

    def __init__(self) -> None:
        super().__init__()
        self.raised: list[Raised] = []

    def emit(self, record: logging.LogRecord) -> None:
        exc = record.exc_info[1] if record.exc_info else None
        if exc is not None:
            self.raised.append(Raised.of(exc))


@contextlib.asynccontextmanager
async def served(app: web.Application, **options: Any) -> AsyncIterator[int]:
    """Serve `app`; gives the port."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05, **options)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def ask(port: int, path: str = "/", lines: str = "") -> bytes:
    """Return all that the server sends back for one request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(GET.format(path=path, lines=lines).encode())
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()


def run(app: web.Application, path: str = "/", lines: str = "") -> Run:
    """Return one request as a client and the server's log see it; or what stops the server."""
    errors = _Errors()
    logger = logging.getLogger("aiohttp.server")
    logger.addHandler(errors)
    logger.propagate = False

    async def main() -> bytes:
        async with served(app) as port:
            return await ask(port, path, lines)

    try:
        answer = asyncio.run(main())
    except BaseException as exc:
        return Run(None, (), b"", Raised.of(exc))
    finally:
        logger.removeHandler(errors)
        logger.propagate = True
        # What is closed is told of soon, in a thread of its own.
        assert aftermath.settle()
    return _parsed(answer, errors.raised[0] if errors.raised else None)


def _parsed(answer: bytes, raised: Raised | None) -> Run:
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head:
        return Run(None, (), b"", raised)
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = tuple((n.lower(), v.strip()) for n, _, v in (line.partition(":") for line in lines))
    # A second answer, to one half-way, has its headers in the body of the first.
    body = re.sub(rb"\r\nDate: [^\r]+", b"", body)
    return Run(int(first.split()[1]), headers, body, raised)


async def settled(telemetry: Telemetry, count: int = 1) -> None:
    """Wait until `count` spans have ended."""
    for _ in range(200):
        if len(telemetry.spans) >= count:
            return
        await asyncio.sleep(0.005)
