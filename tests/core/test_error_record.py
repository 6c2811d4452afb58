"""`everylayer.record`: what the app says about an error that it deals with by itself."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.trace import SpanKind, StatusCode

import everylayer
from contract.drive import environ, run_asgi, run_wsgi, scope
from contract.telemetry import Telemetry, error_events, fresh
from everylayer import asgi, ledger, wsgi
from everylayer.settings import Settings

Catch = Callable[[BaseException], BaseException]


def event_of(telemetry: Telemetry) -> dict[str, Any]:
    (found,) = error_events(telemetry.spans)
    return dict(found.event.attributes or {})


@pytest.mark.parametrize("status", [None, 200, 404, 500])
@pytest.mark.parametrize("handled", [True, False, None])
def test_handled_or_left_to_the_response(
    telemetry: Telemetry,
    tracer: trace.Tracer,
    caught: Catch,
    handled: bool | None,
    status: int | None,
) -> None:
    with tracer.start_as_current_span("GET /", kind=SpanKind.SERVER) as span:
        assert everylayer.record(caught(ValueError("x")), handled=handled) is None
        if status is not None:
            span.set_attribute("http.status_code", status)
    failed = (status is None or status >= 500) if handled is None else not handled
    assert event_of(telemetry)["everylayer.handled"] is not failed
    assert (telemetry.spans[0].status.status_code is StatusCode.ERROR) is failed


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_the_response_that_a_seam_saw_counts_where_no_stock_wrote_it(
    telemetry: Telemetry, tracer: trace.Tracer, caught: Catch, kind: str, status: int
) -> None:
    async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
        everylayer.record(caught(ValueError("x")))
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
        everylayer.record(caught(ValueError("x")))
        start_response(f"{status} Said", [])
        return []

    with tracer.start_as_current_span("GET /", kind=SpanKind.SERVER):
        if kind == "asgi":
            run_asgi(asgi.Seam(asgi_app, Settings()), scope("/"))
        else:
            run_wsgi(wsgi.Seam(wsgi_app, Settings()), environ("/"))
    assert event_of(telemetry)["everylayer.handled"] is (status == 200)
    assert telemetry.spans[0].status.is_unset is (status == 200)


def test_it_names_its_part_of_the_app(
    telemetry: Telemetry, tracer: trace.Tracer, caught: Catch
) -> None:
    with tracer.start_as_current_span("work"):
        everylayer.record(caught(ValueError("x")), layer="stock check")
    event = event_of(telemetry)
    assert event["everylayer.layer.name"] == "stock check"
    assert event["everylayer.layer.kind"] == "app"
    assert event["everylayer.layer.phase"] == "record"
    assert "everylayer.layer.index" not in event


def test_without_a_name_the_frames_tell(telemetry: Telemetry, tracer: trace.Tracer) -> None:
    def shop() -> None:
        raise ValueError("x")

    with tracer.start_as_current_span("work"):
        try:
            shop()
        except ValueError as exc:
            everylayer.record(exc)
    assert str(event_of(telemetry)["everylayer.layer.name"]).endswith("shop")


def test_an_exception_that_was_never_raised(telemetry: Telemetry, tracer: trace.Tracer) -> None:
    with tracer.start_as_current_span("work"):
        everylayer.record(ValueError("made by hand"))
    event = event_of(telemetry)
    assert event["exception.message"] == "made by hand"
    assert event["everylayer.layer.name"] == "unknown"
    assert not {"code.function.name", "code.file.path", "code.line.number"} & event.keys()


def test_policy_cannot_leave_it_out(
    telemetry: Telemetry, tracer: trace.Tracer, caught: Catch
) -> None:
    everylayer.configure(ignored=["ValueError"])
    with tracer.start_as_current_span("work"):
        everylayer.record(caught(ValueError("x")))
        everylayer.record(asyncio.CancelledError())
    found = [dict(e.event.attributes or {}) for e in error_events(telemetry.spans)]
    assert [event["everylayer.handled"] for event in found] == [True, True]
    assert telemetry.spans[0].status.is_unset


def test_switched_off_it_does_nothing(
    telemetry: Telemetry, tracer: trace.Tracer, caught: Catch
) -> None:
    everylayer.configure(enabled=False)
    with tracer.start_as_current_span("work"):
        everylayer.record(caught(ValueError("x")))
    assert error_events(telemetry.spans) == []


def test_without_a_span_it_does_nothing(telemetry: Telemetry, caught: Catch) -> None:
    everylayer.record(caught(ValueError("x")), handled=False)
    assert telemetry.spans == ()
    assert telemetry.logs == ()


def test_a_bad_variable_does_not_reach_the_app(
    telemetry: Telemetry,
    tracer: trace.Tracer,
    caught: Catch,
    failures: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EVERYLAYER_MAX_EVENTS", "many")
    with tracer.start_as_current_span("work"):
        everylayer.record(caught(ValueError("x")))
    assert failures == {"everylayer.observer.record": 1}


def test_a_name_that_is_no_string(
    telemetry: Telemetry, tracer: trace.Tracer, caught: Catch
) -> None:
    with tracer.start_as_current_span("work"):
        everylayer.record(caught(ValueError("x")), layer=ValueError)  # type: ignore[arg-type]
    assert event_of(telemetry)["everylayer.layer.name"] == "<class 'ValueError'>"


def test_what_matters_survives_a_small_limit_of_attributes(caught: Catch) -> None:
    """The SDK drops the oldest attribute first."""
    telemetry = fresh(SpanLimits(max_event_attributes=3))
    span = telemetry.provider.get_tracer("x").start_span("work")
    with trace.use_span(span, end_on_exit=True):
        everylayer.record(caught(ValueError("x")))
    assert event_of(telemetry).keys() == {
        "exception.type",
        "exception.message",
        "exception.stacktrace",
    }


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_is_not_blocked_by_a_lock_of_its_parent(caught: Catch) -> None:
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with ledger._lock:
            held.set()
            release.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork among threads: on purpose
        child = os.fork()
    if not child:
        signal.alarm(5)
        everylayer.record(ValueError("x"))
        os._exit(0)
    release.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
