"""Django: no-op layers as middleware classes, for WSGI and for ASGI."""

from __future__ import annotations

from typing import Any

import django
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.urls import path

from . import canary, faults, work

ENTRY = "everylayer_django.EveryLayerMiddleware"


class Layer:
    """Passes everything on, in the way that its inner neighbour wants."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        if iscoroutinefunction(self):
            return self._later(request)
        self.look(request)
        return self.get_response(request)

    async def _later(self, request: HttpRequest) -> Any:
        self.look(request)
        return await self.get_response(request)

    def look(self, request: HttpRequest) -> None:
        """Do nothing."""


class FailingLayer(Layer):
    """Fails at one path, `faults.DEPTH` frames deep."""

    def look(self, request: HttpRequest) -> None:
        """Fail if this is the path."""
        if request.path == "/layer":
            faults.named("deep")()


def ok(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok")


def view(request: HttpRequest, name: str) -> HttpResponse:
    faults.named(name)()
    return HttpResponse("not reached")


def busy(request: HttpRequest, name: str) -> HttpResponse:
    work.compute()
    if name == "fail":
        faults.named("deep")()
    return HttpResponse("ok")


def storm(request: HttpRequest) -> HttpResponse:
    request.bench_canary = canary.Canary("request object")  # type: ignore[attr-defined]
    canary.fail()
    return HttpResponse("not reached")


def _in_loop(call: Any) -> Any:
    """Return `call` as an async view: no worker thread is needed for it."""

    async def wrapped(request: HttpRequest, **arguments: Any) -> HttpResponse:
        response: HttpResponse = call(request, **arguments)
        return response

    return wrapped


_stock: list[str] = []


def build(arm: str, layers: int, *, asgi: bool = False) -> Any:
    """Return the handler of `arm`; the middle one of its layers is the one that can fail."""
    global urlpatterns
    if not settings.configured:
        _configure(arm)
    made = (lambda call: _in_loop(call)) if asgi else (lambda call: call)
    urlpatterns = [
        path("ok", made(ok)),
        path("layer", made(ok)),
        path("fail/<str:name>", made(view)),
        path("work/<str:name>", made(busy)),
        path("storm", made(storm)),
    ]
    middle = layers // 2
    kinds = ["FailingLayer" if number == middle else "Layer" for number in range(layers)]
    ours = [ENTRY] if arm == "everylayer" else []
    settings.MIDDLEWARE = [*_stock, *ours, *(f"{__name__}.{kind}" for kind in kinds)]
    return ASGIHandler() if asgi else WSGIHandler()


def _configure(arm: str) -> None:
    settings.configure(
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["*"],
        SECRET_KEY="bench",
        MIDDLEWARE=[],
        DEBUG=False,
        LOGGING_CONFIG=None,
    )
    django.setup()
    if arm in ("stock", "everylayer"):
        from opentelemetry.instrumentation.django import DjangoInstrumentor

        DjangoInstrumentor().instrument()
        _stock.extend(settings.MIDDLEWARE)


urlpatterns: list[Any] = []
