"""The Django project's view, layers and URLs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path

from sentry_apps import body, fail, reported


class Recovering:
    """Answers by a hook for what goes wrong further in."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if request.path.startswith("/swallow"):
            return HttpResponse("recovered")
        if request.path.startswith("/handler"):
            return HttpResponse("no such thing", status=503)
        return None


class Failing:
    """Fails before the view is reached."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith("/layer"):
            fail(request.path)
        return self.get_response(request)


def view(request: HttpRequest, where: str, kind: str) -> Any:
    if where == "stream":
        return StreamingHttpResponse(body(request.path))
    if where == "reported":
        reported(request.path)
    if where in ("view", "swallow", "handler"):
        fail(request.path)
    return HttpResponse("fine")


urlpatterns = [path("<str:where>/<str:kind>", view)]
