"""Plain apps, as `everylayer chain` finds them."""

from __future__ import annotations

import functools
from typing import Any


def endpoint(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"answer"]


def other(environ: Any, start_response: Any) -> Any:
    start_response("202 Accepted", [("Content-Type", "text/plain")])
    return [b"other"]


class Auth:
    """A layer that holds the next one in an attribute."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.app(environ, start_response)


class Slotted:
    """A layer without a `__dict__`."""

    __slots__ = ("_inside",)

    def __init__(self, app: Any) -> None:
        self._inside = app

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self._inside(environ, start_response)


def upper(app: Any) -> Any:
    """Hold the next one in a closure, and change the body as it is produced."""

    def layer(environ: Any, start_response: Any) -> Any:
        def changed(body: Any) -> Any:
            try:
                for chunk in body:
                    yield chunk.upper()
            finally:
                getattr(body, "close", list)()

        return changed(app(environ, start_response))

    return layer


def checked(app: Any, environ: Any, start_response: Any) -> Any:
    return app(environ, start_response)


class Mounts:
    """A layer that branches by path."""

    def __init__(self, app: Any, mounts: dict[str, Any]) -> None:
        self.app = app
        self.mounts = mounts

    def __call__(self, environ: Any, start_response: Any) -> Any:
        for prefix, app in self.mounts.items():
            if environ["PATH_INFO"].startswith(prefix):
                return app(environ, start_response)
        return self.app(environ, start_response)


application = Auth(upper(Mounts(Slotted(endpoint), {"/other": Auth(other)})))
partial = functools.partial(checked, endpoint)


async def asgi_endpoint(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"answer"})


class AsgiAuth:
    """An ASGI layer with a `send` of its own."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def own_send(message: Any) -> None:
            await send(message)

        await self.app(scope, receive, own_send)


asgi = AsgiAuth(asgi_endpoint)
