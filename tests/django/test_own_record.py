"""What a view records by itself follows the settings of its project."""

from __future__ import annotations

import contextlib

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.test.utils import override_settings
from django.urls import path
from opentelemetry import trace

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


def test_what_is_configured_later_holds_outside_of_requests(telemetry: Telemetry) -> None:
    with override_settings(MIDDLEWARE=[ENTRY], EVERYLAYER={"max_events": 2}):
        WSGIHandler()
        everylayer.configure(max_message_bytes=100)
        with trace.get_tracer("a job").start_as_current_span("job"):
            for _ in range(3):
                note()
    found = [
        str((each.event.attributes or {})["exception.message"])
        for each in error_events(telemetry.spans)
    ]
    assert len(found) == 2
    assert all(len(message) <= 100 for message in found)
