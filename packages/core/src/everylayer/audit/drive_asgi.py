"""Requests to an ASGI app, on one event loop. Source: asgi.readthedocs.io/en/latest/specs."""

from __future__ import annotations

import asyncio
from typing import Any

from ..asgi_types import ASGIApp, Message, Scope
from ..text import one_line
from . import sending
from .model import Answer, Request
from .response import (
    AFTER_END,
    BAD_HEADERS,
    BAD_STATUS,
    BODY_BEFORE_START,
    HEADERS_LATE,
    NEVER_ENDED,
    STARTED_TWICE,
    UNKNOWN_MESSAGE,
    Response,
)
from .wire import TargetError

_ASGI = {"version": "3.0", "spec_version": "2.4"}
# Extensions that this server does not offer, but that do no harm.
_HARMLESS = ("http.response.debug", "http.response.trailers", "http.response.push")


class ASGIDriver:
    """Sends requests to an ASGI app; its lifespan lasts from here to `close`.

    Raises:
        TargetError: the app says that it could not start.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.leftover = ""
        self._app = app
        self._threads = sending.Threads()
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        self._lifespan = Lifespan(app)
        try:
            self._loop.run_until_complete(self._lifespan.start())
        except BaseException:
            self._loop.close()
            raise

    def send(self, request: Request) -> Answer:
        exchange = _Exchange(request)
        task = self._loop.create_task(self._send(exchange, request))
        try:
            self._loop.run_until_complete(task)
        except (SystemExit, KeyboardInterrupt) as exc:
            # From a task of the app's own: asyncio lets these stop the loop.
            exchange.response.escape(exc)
            task.cancel()
            self._loop.run_until_complete(asyncio.wait([task], timeout=sending.SETTLE))
        self._threads.settle()
        return exchange.answer()

    def close(self) -> None:
        try:
            self._loop.run_until_complete(self._lifespan.stop())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)
            self._loop.close()

    async def _send(self, exchange: _Exchange, request: Request) -> None:
        before = asyncio.all_tasks()
        try:
            scope = scope_of(request, dict(self._lifespan.state))
            await self._app(scope, exchange.receive, exchange.send)
        except BaseException as exc:  # noqa: BLE001 - a server would not live on all of them
            exchange.response.escape(exc)
        exchange.over.set()
        self.leftover = sending.current_span_id()
        left = asyncio.all_tasks() - before
        if left:
            await asyncio.wait(left, timeout=sending.SETTLE)


class _Exchange:
    """The server's side of one request."""

    def __init__(self, request: Request) -> None:
        self.response = Response(request.method)
        self.over = asyncio.Event()
        self._asked = False
        self._ended = False
        self._given: Any = None

    async def receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.over.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        kind = message["type"]
        response = self.response
        if kind == "http.response.start":
            if response.status is not None:
                response.breach(STARTED_TWICE)
                return
            response.sent = True
            self._given = message.get("headers", ())
            response.status = self._status(message.get("status"))
            response.headers = self._headers(self._given)
        elif kind == "http.response.body":
            if self._ended:
                response.breach(AFTER_END)
                return
            if response.status is None:
                response.breach(BODY_BEFORE_START)
            response.body(message.get("body", b""))
            if not message.get("more_body", False):
                self._ended = True
                self.over.set()
        elif kind not in _HARMLESS:
            response.breach(UNKNOWN_MESSAGE)

    def answer(self) -> Answer:
        response = self.response
        if self._given is not None and self._headers(self._given) != response.headers:
            response.breach(HEADERS_LATE)
        if response.status is not None and not self._ended and not response.escaped:
            response.breach(NEVER_ENDED)
        return response.answer()

    def _status(self, status: Any) -> int:
        if isinstance(status, int):
            return int(status)
        self.response.breach(BAD_STATUS)
        return 0

    def _headers(self, headers: Any) -> list[tuple[str, str]]:
        found = []
        for name, value in headers:
            if not (isinstance(name, bytes) and isinstance(value, bytes)):
                self.response.breach(BAD_HEADERS)
            found.append((_text(name), _text(value)))
        return found


class Lifespan:
    """The app's lifespan, in a task of its own; an app without one is left alone.

    Attributes:
        state: what the app gives each request.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        self._asked = False
        self._failed = ""
        self._supported = True

    async def start(self) -> None:
        """Start the app.

        Raises:
            TargetError: the app says that it could not start.
        """
        self._started = asyncio.Event()
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()
        self._task = asyncio.create_task(self._run())
        await self._started.wait()
        if self._failed:
            raise TargetError(f"the app could not start: {self._failed}")

    async def stop(self) -> None:
        """Have the app stop; what it does wrong there is its own."""
        self._stopping.set()
        if self._supported:
            await asyncio.wait([self._task], timeout=5.0)

    async def _run(self) -> None:
        scope: Scope = {"type": "lifespan", "asgi": _ASGI, "state": self.state}
        try:
            await self._app(scope, self._receive, self._send)
        except BaseException:  # noqa: BLE001 - how an app says that it has no lifespan
            self._supported = False
        self._started.set()

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "lifespan.startup"}
        await self._stopping.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "lifespan.startup.failed":
            lines = str(message.get("message", "")).strip().splitlines()
            self._failed = one_line(lines[-1], 300) if lines else "it does not say why"
        if message["type"].startswith("lifespan.startup."):
            self._started.set()


def scope_of(request: Request, state: dict[str, Any]) -> Scope:
    """Return the scope that a server would make of `request`."""
    path, query = sending.split_path(request.path)
    raw = request.path.partition("#")[0].partition("?")[0]
    return {
        "type": "http",
        "asgi": _ASGI,
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": path.decode("utf-8", "replace"),
        "raw_path": raw.encode("ascii", "replace"),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [
            (name.lower().encode("latin-1"), value.encode("latin-1", "replace"))
            for name, value in sending.headers_of(request)
        ],
        "client": ("127.0.0.1", 50000),
        "server": ("localhost", 80),
        "state": state,
        "extensions": {},
    }


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
