"""After the request nothing of it is held: no exception, no frame, no request."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar, copy_context
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind

import everylayer
from contract.drive import environ, run_asgi, run_wsgi, scope
from contract.telemetry import Telemetry, error_events
from everylayer import asgi, wsgi
from everylayer.layers import Layer
from everylayer.ledger import Ledger
from everylayer.observer import observe
from everylayer.settings import Settings

# An app that marks fields: the variables of frames are looked at.
MARKED = everylayer.Sensitive("card")
GATE = Layer("Gate", "middleware", 0)
Begin = Callable[..., tuple[trace.Span, Ledger]]


class OwnError(Exception):
    pass


class Held:
    """Something that only the frames of an exception hold."""


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    """Reference counts alone must free it: the collector comes late, or never."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def failing(refs: list[weakref.ref[Any]], cause: bool = False) -> BaseException:
    """Return an exception whose frames hold something, and keep only weak references to both."""

    def fail() -> None:
        held = Held()
        refs.append(weakref.ref(held))
        raise OwnError("x")

    try:
        fail()
    except OwnError as exc:
        refs.append(weakref.ref(exc))
        if not cause:
            return exc
        outer = OwnError("outer")
        outer.__cause__ = exc
        refs.append(weakref.ref(outer))
        return outer
    raise AssertionError


def alive(refs: list[weakref.ref[Any]], *, cycles: bool = False) -> list[Any]:
    """Return what is left; the test's own exceptions may be linked in cycles."""
    if cycles:
        gc.collect()
    return [found for ref in refs if (found := ref()) is not None]


@pytest.mark.parametrize("status", [None, 200, 500])
@pytest.mark.parametrize("end_first", [True, False])
def test_a_closed_ledger_holds_nothing(
    telemetry: Telemetry, request_of: Begin, status: int | None, end_first: bool
) -> None:
    span, ledger = request_of()
    refs: list[weakref.ref[Any]] = []
    exc = failing(refs, cause=True)
    observe(exc, GATE, ledger=ledger)
    if status is not None:
        ledger.responded(status)
    if end_first:
        span.end()
    ledger.close(exc if status is None else None)
    if not end_first:
        span.end()
    del exc
    assert refs
    assert alive(refs, cycles=True) == []
    assert len(error_events(telemetry.spans)) == 1
    assert ledger.errors


@pytest.mark.parametrize("case", ["late", "after close", "no span", "unsampled", "by hand"])
def test_nothing_is_held_however_it_was_seen(
    telemetry: Telemetry, tracer: trace.Tracer, case: str
) -> None:
    refs: list[weakref.ref[Any]] = []
    ledger = Ledger(Settings())
    span = tracer.start_span("GET /", kind=SpanKind.SERVER)
    if case == "unsampled":
        context = trace.SpanContext(1, 2, False, trace.TraceFlags(0))
        ledger.bind(trace.NonRecordingSpan(context))
    elif case in ("late", "after close"):
        ledger.bind(span)
        span.end()
    if case == "after close":
        ledger.close()
    exc = failing(refs)
    if case == "by hand":
        with trace.use_span(span, end_on_exit=True):
            everylayer.record(exc)
    observe(exc, GATE, ledger=ledger)
    ledger.close()
    del exc
    assert alive(refs) == []


def test_what_found_no_room_is_not_held(telemetry: Telemetry, request_of: Begin) -> None:
    refs: list[weakref.ref[Any]] = []
    span, ledger = request_of(max_events=1)
    for _ in range(10):
        observe(failing(refs), GATE, ledger=ledger)
    assert len(alive(refs)) == 4
    ledger.close()
    span.end()
    assert alive(refs) == []


def test_a_span_dropped_without_an_end_lets_go(telemetry: Telemetry, tracer: trace.Tracer) -> None:
    refs: list[weakref.ref[Any]] = []
    ledger = Ledger(Settings(), surrounded=False)
    span = tracer.start_span("forgotten")
    ledger.bind(span)
    observe(failing(refs), GATE, ledger=ledger)
    del span, ledger
    assert alive(refs, cycles=True) == []


@pytest.mark.parametrize("caught", [True, False])
def test_asgi_requests_are_let_go(telemetry: Telemetry, caught: bool) -> None:
    refs: list[weakref.ref[Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        held = Held()
        refs.append(weakref.ref(held))
        try:
            raise OwnError("x")
        except OwnError as exc:
            refs.append(weakref.ref(exc))
            if not caught:
                raise
            await send({"type": "http.response.start", "status": 500, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    request = scope("/")
    run = run_asgi(asgi.Seam(asgi.Probe(app), Settings()), request)
    assert (run.raised is None) is caught
    assert len(error_events(telemetry.spans)) == 1
    assert alive(refs) == []
    assert not list(request[asgi.SCOPE_KEY].exceptions())


CURRENT: ContextVar[Any] = ContextVar("current")


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_a_request_that_works_is_freed_without_the_collector(
    telemetry: Telemetry, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outer layer keeps the request in the context, and the request keeps its ledger."""
    monkeypatch.setattr("everylayer.ledger._any_loose", False)
    refs: list[weakref.ref[Any]] = []

    def keep(request: Any) -> None:
        held = request["held"] = Held()
        refs.append(weakref.ref(held))
        CURRENT.set(request)

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def asgi_outer(scope: Any, receive: Any, send: Any) -> None:
        keep(scope)
        await asgi.Seam(answer, Settings())(scope, receive, send)

    def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return []

    def wsgi_outer(environ: Any, start_response: Any) -> Any:
        keep(environ)
        return wsgi.Seam(wsgi_app, Settings())(environ, start_response)

    def serve() -> None:
        if kind == "asgi":
            run_asgi(asgi_outer, scope("/"))
        else:
            run_wsgi(wsgi_outer, environ("/"))

    copy_context().run(serve)
    assert refs
    assert alive(refs) == []


@pytest.mark.parametrize("where", ["call", "stream", "close"])
def test_wsgi_requests_are_let_go(telemetry: Telemetry, where: str) -> None:
    refs: list[weakref.ref[Any]] = []

    class Answer:
        def __iter__(self) -> Iterator[bytes]:
            yield b"one"
            if where == "stream":
                raise failing(refs)

        def close(self) -> None:
            if where == "close":
                raise failing(refs)

    def app(environ: Any, start_response: Any) -> Any:
        if where == "call":
            raise failing(refs)
        start_response("200 OK", [])
        return Answer()

    request = environ("/")
    run = run_wsgi(wsgi.Seam(wsgi.Probe(app), Settings()), request)
    assert run.raised
    assert len(error_events(telemetry.spans)) == 1
    assert alive(refs) == []
    assert not list(request[wsgi.ENVIRON_KEY].exceptions())
