"""The innermost service, Django: it all begins in one of its layers."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from opentelemetry.instrumentation.django import DjangoInstrumentor

import envoy_spans

envoy_spans.write()


class Locked(Exception):
    """Somebody counts the stock."""


def locks(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[..., HttpResponse]:
    def lock(request: HttpRequest) -> HttpResponse:
        if request.path == "/locked":
            raise Locked("the shelf is being counted")
        return get_response(request)

    return lock


urlpatterns = [path("<what>", lambda request, what: JsonResponse({"stock": what}))]

settings.configure(
    SECRET_KEY="not a secret",
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["127.0.0.1"],
    MIDDLEWARE=["everylayer_django.EveryLayerMiddleware", f"{__name__}.locks"],
    LOGGING_CONFIG=None,
)
DjangoInstrumentor().instrument()
app = get_wsgi_application()
