"""What a view records by itself follows the settings of its project."""

from __future__ import annotations

import contextlib

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.test.utils import override_settings
from django.urls import path

import everylayer
from contract import drive
from contract.telemetry import Telemetry, error_events
from djangoapp.serve import ENTRY, stock_instrumentation


def note() -> HttpResponse:
    everylayer.record(ValueError("refused: " + "x" * 500), handled=True)
    return HttpResponse("noted")


def view(request: HttpRequest) -> HttpResponse:
    return note()


async def async_view(request: HttpRequest) -> HttpResponse:
    return note()


urlpatterns = [path("view", view), path("async", async_view)]


@pytest.mark.parametrize("stock", [True, False], ids=["stock", "alone"])
@pytest.mark.parametrize("server", ["wsgi", "asgi"])
@pytest.mark.parametrize("asked", ["/view", "/async"])
def test_budgets(server: str, asked: str, stock: bool, telemetry: Telemetry) -> None:
    changed = override_settings(
        ROOT_URLCONF=__name__, MIDDLEWARE=[ENTRY], EVERYLAYER={"max_message_bytes": 100}
    )
    with changed, stock_instrumentation() if stock else contextlib.nullcontext():
        if server == "asgi":
            assert drive.run_asgi(ASGIHandler(), drive.scope(asked)).body == b"noted"
        else:
            assert drive.run_wsgi(WSGIHandler(), drive.environ(asked)).body == b"noted"
    (event,) = error_events(telemetry.spans)
    assert len(str((event.event.attributes or {})["exception.message"])) <= 100
