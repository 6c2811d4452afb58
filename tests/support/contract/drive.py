"""Drive a WSGI or ASGI app the way a server does, without hiding what it raises."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from wsgiref.util import setup_testing_defaults

from .responses import Raised, Run

Headers = Iterable[tuple[str, str]]
Message = MutableMapping[str, Any]
ASGIApp = Callable[
    [
        MutableMapping[str, Any],
        Callable[[], Awaitable[Message]],
        Callable[[Message], Awaitable[None]],
    ],
    Awaitable[None],
]


def environ(path: str = "/", headers: Headers = (), method: str = "GET") -> dict[str, Any]:
    """Return a WSGI environ for a request to 127.0.0.1."""
    path, _, query = path.partition("?")
    made: dict[str, Any] = {
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "REQUEST_METHOD": method,
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
    }
    setup_testing_defaults(made)
    for name, value in headers:
        made["HTTP_" + name.upper().replace("-", "_")] = value
    return made


def run_wsgi(app: Callable[..., Any], request: dict[str, Any]) -> Run:
    """Serve one request: iterate the body, always close it."""
    started: list[tuple[str, list[tuple[str, str]]]] = []
    chunks: list[bytes] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        if started and exc_info is None:
            raise AssertionError("start_response called twice without exc_info")
        started[:] = [(status, headers)]
        return chunks.append

    raised = None
    try:
        body = app(request, start_response)
        try:
            for chunk in body:
                chunks.append(chunk)
        finally:
            close = getattr(body, "close", None)
            if close is not None:
                close()
    except BaseException as error:
        raised = Raised.of(error)
    status, headers = started[0] if started else ("", [])
    return Run(
        int(status.split(" ", 1)[0]) if status else None,
        tuple((name.lower(), value) for name, value in headers),
        b"".join(chunks),
        raised,
    )


def scope(path: str = "/", headers: Headers = (), method: str = "GET") -> dict[str, Any]:
    """Return an HTTP scope for a request to 127.0.0.1."""
    path, _, query = path.partition("?")
    lines = [("host", "127.0.0.1"), *headers]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in lines],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 80),
        "state": {},
    }


def _text(line: tuple[bytes, bytes]) -> tuple[str, str]:
    return line[0].decode("latin-1").lower(), line[1].decode("latin-1")


async def call_asgi(app: ASGIApp, request: dict[str, Any], body: bytes = b"") -> Run:
    """Serve one HTTP request; the client stays until the response is complete."""
    sent: list[Message] = []
    complete = asyncio.Event()
    delivered = False

    async def receive() -> Message:
        nonlocal delivered
        if not delivered:
            delivered = True
            return {"type": "http.request", "body": body, "more_body": False}
        await complete.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            complete.set()

    raised = None
    try:
        await app(request, receive, send)
    except BaseException as error:
        raised = Raised.of(error)
    start: Message = next((m for m in sent if m["type"] == "http.response.start"), {})
    return Run(
        start.get("status"),
        tuple(
            (n.decode("latin-1").lower(), v.decode("latin-1")) for n, v in start.get("headers", ())
        ),
        b"".join(m.get("body", b"") for m in sent if m["type"] == "http.response.body"),
        raised,
    )


def run_asgi(app: ASGIApp, request: dict[str, Any], body: bytes = b"") -> Run:
    """Serve one HTTP request in an event loop of its own."""
    return asyncio.run(call_asgi(app, request, body))
