"""Django: no-op layers as middleware classes, for WSGI and for ASGI."""

from __future__ import annotations

from typing import Any

import django
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.urls import path

from . import canary, faults, layers, work

ENTRY = "everylayer_django.EveryLayerMiddleware"


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


def build(arm: str, count: int, *, asgi: bool = False, catching: bool = False) -> Any:
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
    found = layers.classes("django", count, catching=catching)
    kinds = [f"{kind.__module__}.{kind.__name__}" for kind in found]
    ours = [ENTRY] if arm == "everylayer" else []
    settings.MIDDLEWARE = [*_stock, *ours, *kinds]
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
