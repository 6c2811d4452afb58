"""Layers that the audit itself puts into a plain chain: one around all, one at its end."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from .. import asgi, wsgi
from ..asgi_types import ASGIApp, Message, Receive, Scope, Send
from ..faults.point import Switch
from ..wsgi_types import Environ, StartResponse, WSGIApp
from .injected import Translated
from .model import Shape

_TEXT = b"text/plain; charset=utf-8"


class Transparent:
    """Passes for the app that it stands around, in all but its call."""

    app: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.app, name)


class ASGIProbe(asgi.Probe, Transparent):
    """A probe that a layer may ask for what is inside."""


class WSGIProbe(wsgi.Probe, Transparent):
    """A probe that a layer may ask for what is inside."""


class ASGIShape:
    """Swallows or translates what leaves the app inside it."""

    def __init__(self, app: ASGIApp, shape: Shape) -> None:
        self.app = app
        self.shape = shape

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception as exc:
            if scope["type"] != "http":
                raise
            if self.shape == "translated":
                raise Translated("translated by the outermost layer") from exc
            if started:
                raise
            await send(_start(200))
            await send({"type": "http.response.body", "body": b"recovered"})


class WSGIShape:
    """Swallows or translates what leaves the app inside it."""

    def __init__(self, app: WSGIApp, shape: Shape) -> None:
        self.app = app
        self.shape = shape

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            return self.app(environ, start_response)
        except Exception as exc:
            if self.shape == "translated":
                raise Translated("translated by the outermost layer") from exc
            start_response("200 OK", [("Content-Type", _TEXT.decode())], sys.exc_info())
            return [b"recovered"]


class ASGIEndpoint(Transparent):
    """The innermost app; while the switch is armed its body comes in parts, which may fail."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.stream = Switch()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        first = True

        async def sending(message: Message) -> None:
            nonlocal first
            if not first or message["type"] != "http.response.body":
                await send(message)
                return
            first = False
            await send({**message, "more_body": True})
            self.stream.reached()
            if not message.get("more_body"):
                await send({"type": "http.response.body", "body": b""})

        await self.app(scope, receive, sending if self.stream.armed else send)


class WSGIEndpoint(Transparent):
    """The innermost app; while a switch is armed its body may fail half-way, or at its close."""

    def __init__(self, app: WSGIApp) -> None:
        self.app = app
        self.stream = Switch()
        self.teardown = Switch()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        body = self.app(environ, start_response)
        return _Body(body, self) if self.stream.armed or self.teardown.armed else body


class _Body:
    def __init__(self, body: Iterable[bytes], endpoint: WSGIEndpoint) -> None:
        self._body = body
        self._endpoint = endpoint

    def __iter__(self) -> Iterator[bytes]:
        first = True
        for chunk in self._body:
            yield chunk
            if first:
                self._endpoint.stream.reached()
            first = False

    def close(self) -> None:
        close = getattr(self._body, "close", None)
        if close is not None:
            close()
        self._endpoint.teardown.reached()


def _start(status: int) -> Message:
    return {
        "type": "http.response.start",
        "status": status,
        "headers": [(b"content-type", _TEXT)],
    }
