"""A view that asks another view of the same process, and answers whatever became of that."""

from __future__ import annotations

import contextlib

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.test.utils import override_settings
from django.urls import path
from opentelemetry.trace import StatusCode

from contract import drive
from contract.faults import PLAIN, fault_site
from contract.telemetry import Telemetry, error_events, server_span
from djangoapp.serve import ENTRY, stock_instrumentation


def part(request: HttpRequest) -> HttpResponse:
    fault_site(PLAIN)


def whole(request: HttpRequest) -> HttpResponse:
    found = Client(raise_request_exception=False).get("/part")
    return HttpResponse(f"part: {found.status_code}")


urlpatterns = [path("part", part), path("whole", whole)]


@pytest.mark.parametrize("stock", [True, False], ids=["stock", "alone"])
def test_the_outer_response_judges_what_failed_in_the_inner_request(
    stock: bool, telemetry: Telemetry
) -> None:
    with contextlib.ExitStack() as stack:
        stack.enter_context(override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[ENTRY]))
        if stock:
            stack.enter_context(stock_instrumentation())
        assert drive.run_wsgi(WSGIHandler(), drive.environ("/whole")).body == b"part: 500"
    span = server_span(telemetry.spans)
    assert span.status.status_code is StatusCode.UNSET
    (event,) = error_events([span])
    assert event.event.attributes["everylayer.handled"] is True
