"""The middleware that an audit puts outside all others of the app's, to swallow or to translate.

There is nothing to catch in it but what a view has raised: whatever another layer raises is a
response when it comes here.
"""

from __future__ import annotations

from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponse

from everylayer.audit.injected import Translated
from everylayer.audit.lent import lend
from everylayer.audit.model import Shape

from .arms import is_instrumentation

_ANSWER = b"swallowed"
# Its errors are to be told from Django's and from ours: it stands for code of the app's.
_MODULE = "everylayer_shape"


class _Layer:
    """Hands everything on."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        if self._is_async:
            return self._call_async(request)
        return self.answer(self.get_response(request))

    async def _call_async(self, request: HttpRequest) -> Any:
        return self.answer(await self.get_response(request))

    def answer(self, response: Any) -> Any:
        """Return what goes out for `response`."""
        return response


class Swallowing(_Layer):
    """Answers 200 to what went wrong further in."""

    def answer(self, response: Any) -> Any:
        if response.status_code < 500:
            return response
        return HttpResponse(_ANSWER, content_type="text/plain")

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse:
        """Answer for the view."""
        return HttpResponse(_ANSWER, content_type="text/plain")


def _translate(
    self: Any, request: HttpRequest, exception: Exception, made: Any = Translated
) -> None:
    raise made("translated by the outermost layer") from exception


class Translating(_Layer):
    """Makes another error of a view's."""

    process_exception = lend(_translate, "process_exception", _MODULE)


_SHAPES = {"swallowed": Swallowing, "translated": Translating}


def put(shape: Shape) -> None:
    """Make the layer of `shape` the outermost one that is no instrumentation."""
    layer = _SHAPES.get(shape)
    if layer is None:
        return
    entries = list(settings.MIDDLEWARE)
    place = next((i for i, path in enumerate(entries) if not is_instrumentation(path)), None)
    entries.insert(
        len(entries) if place is None else place, f"{layer.__module__}.{layer.__qualname__}"
    )
    settings.MIDDLEWARE = entries
