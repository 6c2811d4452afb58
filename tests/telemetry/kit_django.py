"""Django's half of the apps: one layer and one view, for WSGI and for ASGI."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path
from django.utils.decorators import sync_and_async_middleware

from kit_faults import ANSWERS, AppError, fail, fail_if

ENTRY = "everylayer_django.EveryLayerMiddleware"
LAYER = "kit_django.layer"


def pieces(kind: str, number: str) -> Iterator[bytes]:
    yield b"first "
    fail_if(kind, number, "stream")
    yield b"second"


async def async_pieces(kind: str, number: str) -> AsyncIterator[bytes]:
    for piece in pieces(kind, number):
        yield piece


def answer(kind: str, number: str, body: Any) -> Any:
    """Return the response of a view that got this far."""
    if kind == "stream":
        response: Any = StreamingHttpResponse(body(kind, number), content_type="text/plain")
    else:
        response = HttpResponse(b"fine", content_type="text/plain")
    response["x-number"] = number
    if kind == "late":
        # Django drops what a closer raises.
        response._resource_closers.append(lambda: fail(kind, number))
    return response


def view(request: HttpRequest, kind: str, number: str) -> Any:
    time.sleep(0)
    fail_if(kind, number, "view", "exit", *ANSWERS)
    return answer(kind, number, pieces)


async def async_view(request: HttpRequest, kind: str, number: str) -> Any:
    await asyncio.sleep(0)
    fail_if(kind, number, "view", "exit", *ANSWERS)
    return answer(kind, number, async_pieces)


class SyncUrls:
    """For `ROOT_URLCONF` under WSGI."""

    urlpatterns = (path("<str:kind>/<str:number>", view),)


class AsyncUrls:
    """For `ROOT_URLCONF` under ASGI."""

    urlpatterns = (path("<str:kind>/<str:number>", async_view),)


@sync_and_async_middleware
def layer(get_response: Any) -> Any:
    """Fail, or hand the request on; an error that comes back is a response by then."""

    def before(request: HttpRequest) -> None:
        kind, number = request.path.strip("/").split("/")
        fail_if(kind, number, "layer")

    if iscoroutinefunction(get_response):

        async def async_layer(request: HttpRequest) -> Any:
            before(request)
            return await get_response(request)

        made: Any = async_layer
    else:

        def sync_layer(request: HttpRequest) -> Any:
            before(request)
            return get_response(request)

        made = sync_layer

    def process_exception(request: HttpRequest, error: Exception) -> Any:
        kind, _ = request.path.strip("/").split("/")
        if kind in ANSWERS and isinstance(error, AppError):
            return HttpResponse(b"answered", status=ANSWERS[kind], content_type="text/plain")
        return None

    made.process_exception = process_exception
    return made
