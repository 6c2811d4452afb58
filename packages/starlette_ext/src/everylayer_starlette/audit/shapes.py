"""The layer outside all others that swallows what comes, or makes another error of it."""

from __future__ import annotations

from typing import Any

from everylayer.asgi_types import ASGIApp, Message, Receive, Scope, Send
from everylayer.audit.injected import Translated
from everylayer.audit.lent import lend
from everylayer.audit.model import Shape

# Its errors are to be told from the framework's and from ours: it stands for code of the app.
MODULE = "everylayer_shape"


class TranslatedError(Translated):
    """What the layer that translates makes of an error."""


class _Layer:
    """Does what its shape says, as middleware of the users' own would.

    Attributes:
        app: the next one.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app


async def _swallow(self: Any, scope: Scope, receive: Receive, send: Send) -> None:
    started = ended = False

    async def watched(message: Message) -> None:
        nonlocal started, ended
        started = True
        ended = message["type"] == "http.response.body" and not message.get("more_body", False)
        await send(message)

    if scope["type"] != "http":
        await self.app(scope, receive, send)
        return
    try:
        await self.app(scope, receive, watched)
    except Exception:
        if not started:
            headers = [(b"content-type", b"text/plain; charset=utf-8")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
        if not ended:  # A response that has begun can only be ended.
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _translate(
    self: Any, scope: Scope, receive: Receive, send: Send, *, made: Any = TranslatedError
) -> None:
    if scope["type"] != "http":
        await self.app(scope, receive, send)
        return
    try:
        await self.app(scope, receive, send)
    except Exception as error:
        raise made("translated by the outermost layer") from error


def _shape(name: str, function: Any) -> Any:
    call = lend(function, "__call__", MODULE)
    return type(name, (_Layer,), {"__module__": MODULE, "__call__": call})


SHAPES: dict[Shape, Any] = {
    "swallowed": _shape("Swallowing", _swallow),
    "translated": _shape("Translating", _translate),
}
