"""What an audit puts into an app that is to deal with its errors by itself.

Litestar answers an error inside of all middleware, so users deal with errors at two places, and
both are used: an exception handler, unless the app has one for any exception, and a layer around
all middleware.
"""

from __future__ import annotations

from typing import Any

from litestar import Response
from litestar._asgi.asgi_router import ASGIRouter
from litestar.exceptions import HTTPException
from litestar.exceptions.responses import create_exception_response

from everylayer.audit.injected import Translated
from everylayer.audit.lent import lend
from everylayer.audit.model import Shape
from everylayer.audit.wire import TargetError

from .walk import slot_of_router

# Its errors are to be told from the framework's and from ours: it stands for code of the app.
MODULE = "everylayer_shape"


class TranslatedError(Translated):
    """What the layer that translates makes of an error."""


class _Layer:
    def __init__(self, app: Any) -> None:
        self.app = app


async def _swallow(
    self: Any, scope: Any, receive: Any, send: Any, *, answer: Any = HTTPException
) -> None:
    started = False

    async def watched(message: Any) -> None:
        nonlocal started
        started = True
        await send(message)

    try:
        await self.app(scope, receive, watched)
    except answer:
        raise
    except Exception:
        if scope["type"] != "http" or started:
            raise
        headers = [(b"content-type", b"text/plain; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"swallowed"})


async def _translate(
    self: Any,
    scope: Any,
    receive: Any,
    send: Any,
    *,
    answer: Any = (HTTPException, Translated),
    make: Any = TranslatedError,
) -> None:
    try:
        await self.app(scope, receive, send)
    except answer:
        raise
    except Exception as error:
        raise make("translated by the outermost layer") from error


def _swallowed(request: Any, error: Any, *, make: Any = Response) -> Any:
    return make("swallowed", status_code=200, media_type="text/plain")


def _translated(request: Any, error: Any, *, make: Any = TranslatedError) -> Any:
    raise make("translated by the exception handler") from error


def _shape(name: str, function: Any) -> Any:
    call = lend(function, f"{name}.__call__", MODULE)
    return type(name, (_Layer,), {"__module__": MODULE, "__call__": call})


_SHAPES: dict[Shape, tuple[Any, Any]] = {
    "swallowed": (_shape("Swallowing", _swallow), lend(_swallowed, "swallowing", MODULE)),
    "translated": (_shape("Translating", _translate), lend(_translated, "translating", MODULE)),
}


def shape_app(app: Any, shape: Shape) -> None:
    """Have `app` deal with errors as `shape` asks.

    Raises:
        TargetError: there is no place for a layer.
    """
    if shape not in _SHAPES:
        return
    layer, handler = _SHAPES[shape]
    slot = slot_of_router(app)
    if slot is None:
        raise TargetError("what stands around Litestar's router cannot be read")
    app.middleware.insert(0, layer)
    # What has been built can hold no further layer.
    app.asgi_router = ASGIRouter(app=app)
    app.asgi_router.construct_routing_trie()
    slot.put(app.asgi_router)
    handlers = app.exception_handlers
    if 500 not in handlers:  # That is for any exception, too.
        handlers.setdefault(Exception, handler)
    # What Litestar would do for them without.
    handlers.setdefault(HTTPException, create_exception_response)
    handlers.setdefault(Translated, create_exception_response)
