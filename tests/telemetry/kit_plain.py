"""WSGI and ASGI apps without a framework, each with one layer around it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

from kit_faults import ANSWERS, AppError, fail, fail_if, parts


class Body:
    """A body of two pieces, the second of which may fail, as may its close."""

    def __init__(self, kind: str, number: str) -> None:
        self.kind = kind
        self.number = number

    def __iter__(self) -> Iterator[bytes]:
        yield b"first "
        fail_if(self.kind, self.number, "stream")
        yield b"second"

    def close(self) -> None:
        fail_if(self.kind, self.number, "late")


def wsgi_app(environ: dict[str, Any], start_response: Any) -> Any:
    kind, number = parts(environ["PATH_INFO"])
    time.sleep(0)
    fail_if(kind, number, "view", "exit", *ANSWERS)
    start_response("200 OK", [("content-type", "text/plain"), ("x-number", number)])
    return Body(kind, number) if kind in ("stream", "late") else [b"fine"]


def wsgi_layer(app: Any) -> Any:
    """Wrap `app` in a layer that fails, answers for an error or swallows it."""

    def layer(environ: dict[str, Any], start_response: Any) -> Any:
        kind, number = parts(environ["PATH_INFO"])
        fail_if(kind, number, "layer")
        try:
            return app(environ, start_response)
        except AppError:
            if kind not in ANSWERS:
                raise
            start_response(f"{ANSWERS[kind]} Answered", [("content-type", "text/plain")])
            return [b"answered"]

    return layer


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    kind, number = parts(scope["path"])
    await asyncio.sleep(0)
    fail_if(kind, number, "view", "exit", *ANSWERS)
    headers = [(b"content-type", b"text/plain"), (b"x-number", number.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"first ", "more_body": True})
    fail_if(kind, number, "stream")
    await send({"type": "http.response.body", "body": b"second"})
    fail_if(kind, number, "late")


def asgi_layer(app: Any) -> Any:
    """Wrap `app` as `wsgi_layer` does."""

    async def layer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        kind, number = parts(scope["path"])
        if kind == "layer":
            fail(kind, number)
        try:
            await app(scope, receive, send)
        except AppError:
            if kind not in ANSWERS:
                raise
            await send(
                {
                    "type": "http.response.start",
                    "status": ANSWERS[kind],
                    "headers": [(b"content-type", b"text/plain")],
                }
            )
            await send({"type": "http.response.body", "body": b"answered"})

    return layer
