"""A snapshot over HTTP: `asgi` and `wsgi` are apps to mount where nobody else comes.

Without the setting `snapshot_token` they answer 404 to everyone, with it to everyone who does not
bear that token: `Authorization: Bearer <token>`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable
from typing import NamedTuple

from . import settings
from .asgi_types import Receive, Scope, Send
from .running.snapshot import snapshot
from .wsgi_types import Environ, StartResponse

_REASONS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed"}
_TEXT = "text/plain; charset=utf-8"


class _Answer(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes


async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request for a snapshot; a plain ASGI app."""
    if scope["type"] == "lifespan":
        for event in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{event}.complete"})
        return
    if scope["type"] != "http":
        await send({"type": "websocket.close"})
        return
    given = {bytes(name).lower(): bytes(value) for name, value in scope["headers"]}
    answer = _answer(
        scope["method"],
        given.get(b"authorization", b""),
        given.get(b"accept", b"").decode("latin-1"),
    )
    headers = [(name.encode(), value.encode()) for name, value in answer.headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def wsgi(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer a request for a snapshot; a plain WSGI app."""
    answer = _answer(
        environ["REQUEST_METHOD"],
        str(environ.get("HTTP_AUTHORIZATION", "")).encode("latin-1", "replace"),
        str(environ.get("HTTP_ACCEPT", "")),
    )
    start_response(f"{answer.status} {_REASONS[answer.status]}", answer.headers)
    return [answer.body]


def _answer(method: str, authorization: bytes, accept: str) -> _Answer:
    if not _may(authorization):
        return _plain(404)
    if method != "GET":
        return _plain(405, [("Allow", "GET")])
    taken = snapshot()
    if "json" in accept.lower():
        return _full(200, "application/json", json.dumps(taken.to_json()))
    return _full(200, _TEXT, taken.text())


def _may(authorization: bytes) -> bool:
    token = settings.current().snapshot_token
    scheme, _, given = authorization.partition(b" ")
    # Digests: they are of one length, whatever is sent.
    same = hmac.compare_digest(
        hashlib.sha256(given.strip()).digest(), hashlib.sha256(token.encode()).digest()
    )
    return bool(token) and same and scheme.lower() == b"bearer"


def _plain(status: int, headers: Iterable[tuple[str, str]] = ()) -> _Answer:
    return _full(status, _TEXT, _REASONS[status], headers)


def _full(
    status: int, content_type: str, text: str, headers: Iterable[tuple[str, str]] = ()
) -> _Answer:
    body = text.encode()
    about = [
        ("Content-Type", content_type),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    return _Answer(status, [*about, *headers], body)
