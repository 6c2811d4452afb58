"""Layers that the audit itself puts into a plain chain: one around all, one at its end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..asgi_types import ASGIApp, Message, Receive, Scope, Send
from ..faults.point import Switch
from ..wsgi import Environ, StartResponse, WSGIApp
from .model import Shape

_TEXT = b"text/plain; charset=utf-8"
_CHUNKS = (b"first ", b"second")


class TranslatedError(Exception):
    """What a layer makes of another error."""


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
                raise TranslatedError("translated by the outermost layer") from exc
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
                raise TranslatedError("translated by the outermost layer") from exc
            start_response("200 OK", [("Content-Type", _TEXT.decode())])
            return [b"recovered"]


class ASGIEndpoint:
    """The innermost app, or, while the switch is armed, a stream that fails half-way."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.stream = Switch()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self.stream.armed or scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        await send(_start(200))
        for chunk in _CHUNKS:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            self.stream.reached()
        await send({"type": "http.response.body", "body": b""})


class WSGIEndpoint:
    """The innermost app, or, while a switch is armed, a body that fails half-way or at its end."""

    def __init__(self, app: WSGIApp) -> None:
        self.app = app
        self.stream = Switch()
        self.teardown = Switch()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if not (self.stream.armed or self.teardown.armed):
            return self.app(environ, start_response)
        start_response("200 OK", [("Content-Type", _TEXT.decode())])
        return _Body(self)


class _Body:
    def __init__(self, endpoint: WSGIEndpoint) -> None:
        self._endpoint = endpoint

    def __iter__(self) -> Iterator[bytes]:
        for chunk in _CHUNKS:
            yield chunk
            self._endpoint.stream.reached()

    def close(self) -> None:
        self._endpoint.teardown.reached()


def _start(status: int) -> Message:
    return {
        "type": "http.response.start",
        "status": status,
        "headers": [(b"content-type", _TEXT)],
    }
