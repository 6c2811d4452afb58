"""What an audit puts outside all middlewares of an app's own: a layer that deals with errors."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from everylayer.audit.injected import Translated
from everylayer.audit.lent import lend
from everylayer.audit.model import Shape

# Its errors are to be told from the framework's and from ours: it stands for code of the app.
MODULE = "everylayer_shape"


class TranslatedError(Translated):
    """What the layer that translates makes of an error."""


async def _swallow(
    request: Any, handler: Any, *, answer: Any = web.HTTPException, make: Any = web.Response
) -> Any:
    try:
        return await handler(request)
    except answer:
        raise
    except Exception:
        if request.writer.output_size:  # A response that has begun cannot be replaced.
            raise
        return make(text="swallowed")


async def _translate(
    request: Any, handler: Any, *, answer: Any = web.HTTPException, make: Any = TranslatedError
) -> Any:
    try:
        return await handler(request)
    except answer:
        raise
    except Exception as error:
        raise make("translated by the outermost layer") from error


def shaping(shape: Shape) -> list[Any]:
    """Return the middleware that `shape` asks for, none for `raised`."""
    if shape == "raised":
        return []
    name, function = (
        ("swallowing", _swallow) if shape == "swallowed" else ("translating", _translate)
    )
    return [web.middleware(lend(function, name, MODULE))]
