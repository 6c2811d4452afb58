"""Requests to an application under aiohttp's own server, over a pair of sockets: no port."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import socket
from collections.abc import Coroutine
from http.client import HTTPException, HTTPResponse, IncompleteRead
from typing import Any
from urllib.parse import quote

from aiohttp import web

from everylayer.audit import sending
from everylayer.audit.failing import run
from everylayer.audit.model import Answer, Request
from everylayer.audit.response import STARTED_TWICE, Response

_PEER = {"peername": ("127.0.0.1", 50000), "sockname": ("127.0.0.1", 80)}
# Not quoted again in a path that may be quoted already.
_SAFE = "".join(map(chr, range(0x21, 0x7F)))


class Driver:
    """Sends requests to an application that runs from here to `close`.

    Raises:
        TargetError: the application could not start.
    """

    def __init__(self, app: web.Application) -> None:
        self.leftover = ""  # Each request has a task, and so a context, of its own.
        self._threads = sending.Threads()
        self._runner = web.AppRunner(app)
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        try:
            run(functools.partial(self._complete, self._runner.setup()), "starting the app")
        except BaseException:
            self.close()
            raise
        server: Any = self._runner.server
        self._left: BaseException | None = None
        self._twice = False
        server.request_handler = self._watching(server.request_handler)

    def send(self, request: Request) -> Answer:
        self._left, self._twice = None, False
        received = bytearray()
        task = self._loop.create_task(self._send(request, received))
        while not task.done():
            # asyncio lets these stop the loop; the server closes the connection when it goes on.
            with contextlib.suppress(SystemExit, KeyboardInterrupt):
                self._loop.run_until_complete(task)
        self._threads.settle()
        return self._answer(request.method, bytes(received))

    def close(self) -> None:
        try:
            # What goes wrong while the app stops is its own.
            with contextlib.suppress(Exception):
                self._complete(self._runner.cleanup())
            self._complete(self._loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)
            self._loop.close()

    def _complete(self, step: Coroutine[Any, Any, None]) -> None:
        self._loop.run_until_complete(step)

    def _watching(self, handle: Any) -> Any:
        async def watched(request: Any) -> Any:
            try:
                response = await handle(request)
            except BaseException as exc:
                self._left = exc
                raise
            begun = request.writer.output_size > 0
            self._twice = begun and not getattr(response, "prepared", False)
            return response

        return watched

    async def _send(self, request: Request, received: bytearray) -> None:
        before = asyncio.all_tasks()
        server, client = socket.socketpair()
        protocol: Any = self._runner.server
        transport, _ = await self._loop.connect_accepted_socket(protocol, server)
        extra = getattr(transport, "_extra", None)
        if isinstance(extra, dict):
            extra.update(_PEER)  # A socket without an address is none that a server has.
        reader, writer = await asyncio.open_connection(sock=client)
        try:
            writer.write(_bytes(request))
            with contextlib.suppress(ConnectionError):
                while chunk := await reader.read(65_536):
                    received += chunk
        finally:
            writer.close()
        left = asyncio.all_tasks() - before
        if left:
            await asyncio.wait(left, timeout=sending.SETTLE)

    def _answer(self, method: str, received: bytes) -> Answer:
        response = Response(method)
        if self._twice:
            response.breach(STARTED_TWICE)
        if not _read(received, method, response) and not self._twice:
            response.escape(self._left or ConnectionError("the server closed the connection"))
        return response.answer()


def _bytes(request: Request) -> bytes:
    path = quote(request.path.partition("#")[0] or "/", safe=_SAFE)
    lines = [f"{request.method} {path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in sending.headers_of(request)]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1", "replace")


def _read(received: bytes, method: str, response: Response) -> bool:
    """Put what was received into `response`; return whether it is whole."""
    parsed = HTTPResponse(_Received(received), method=method)  # type: ignore[arg-type]
    try:
        parsed.begin()
        response.status = parsed.status
        # The clock is the server's own affair.
        response.headers = [each for each in parsed.getheaders() if each[0].lower() != "date"]
        response.sent = True
        response.body(parsed.read())
    except IncompleteRead as error:
        response.body(error.partial)
        return False
    except HTTPException:
        return False
    return True


class _Received:
    """What `http.client` asks of a socket."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)
