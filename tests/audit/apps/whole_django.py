"""Settings, URLs and views of a Django project whose recovery layer hides errors."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path

SECRET_KEY = "for the tests only"
ALLOWED_HOSTS = ["shop.example"]
ROOT_URLCONF = __name__
DATABASES: dict[str, Any] = {}
MIDDLEWARE = [f"{__name__}.timing", f"{__name__}.Recovery", f"{__name__}.tenant"]


def timing(get_response: Any) -> Any:
    def middleware(request: HttpRequest) -> Any:
        response = get_response(request)
        response["x-took"] = "1"
        return response

    return middleware


class Recovery:
    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        response = self.get_response(request)
        if response.status_code >= 500:
            return HttpResponse("sorry")
        return response


def tenant(get_response: Any) -> Any:
    def middleware(request: HttpRequest) -> Any:
        return get_response(request)

    return middleware


def index(request: HttpRequest) -> HttpResponse:
    return HttpResponse("index")


def other(request: HttpRequest) -> HttpResponse:
    return HttpResponse("other")


urlpatterns = [path("", index), path("other", other)]
