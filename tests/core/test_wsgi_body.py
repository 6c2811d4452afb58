"""The body of a WSGI response: streamed, closed, sent by the server; and what fails in it."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from contextvars import Context
from typing import Any
from wsgiref.handlers import SimpleHandler
from wsgiref.util import FileWrapper

import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
from opentelemetry.trace import StatusCode

from contract.drive import environ, run_wsgi
from contract.expect import HANDLED, Expected, check
from contract.faults import FAULTS, PLAIN, Fault, fault_site
from contract.responses import Raised, Run, same
from contract.telemetry import Telemetry, error_events, parent_of, server_span, server_spans
from everylayer import wsgi_types
from everylayer.boundaries import aftermath
from everylayer.layers import Layer
from everylayer.settings import Settings
from everylayer.wsgi import Body, Seam

VIEW = Layer("view", "view", 2)
App = Callable[[Any, Any], Any]


class Answer:
    """A body that can fail in any of its parts."""

    def __init__(self, at: str = "", fault: Fault = PLAIN) -> None:
        self.at, self.fault = at, fault
        self.closed = 0

    def fail(self, where: str) -> None:
        if self.at == where:
            fault_site(self.fault)

    def __iter__(self) -> Iterator[bytes]:
        self.fail("iter")
        return self.chunks()

    def chunks(self) -> Iterator[bytes]:
        self.fail("first chunk")
        yield b"one"
        self.fail("later chunk")
        yield b"two"

    def close(self) -> None:
        self.closed += 1
        self.fail("close")


def app_of(body: Any, status: str = "200 OK") -> App:
    def app(environ: Any, start_response: Any) -> Any:
        start_response(status, [])
        return body

    return app


def streaming(environ: Any, start_response: Any) -> Iterator[bytes]:
    """Start the response with the first chunk, as generators do."""
    start_response("200 OK", [])
    yield b"one"
    fault_site(PLAIN)


TRACEPARENT = (("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),)
PARTS = ["iter", "first chunk", "later chunk", "close"]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
@pytest.mark.parametrize("part", PARTS)
def test_a_body_that_fails(telemetry: Telemetry, part: str, fault: Fault) -> None:
    without = run_wsgi(app_of(Answer(part, fault)), environ("/"))
    telemetry.clear()
    body = Answer(part, fault)
    run = run_wsgi(Seam(app_of(body), Settings(), layer=VIEW), environ("/"))
    same(without, run)
    assert body.closed == 1
    if fault.departure:
        assert error_events(telemetry.spans) == []
        return
    phase = "close" if part == "close" else "stream"
    check(telemetry.spans, fault, Expected(layer="view", phase=phase))


@pytest.mark.parametrize("part", PARTS[:3])  # stock never ends a span whose body fails to close
def test_a_body_that_fails_inside_stock(telemetry: Telemetry, part: str) -> None:
    """Stock's span is open until the body is closed."""
    app = Seam(app_of(Answer(part)), Settings(), layer=VIEW)
    run = run_wsgi(OpenTelemetryMiddleware(app), environ("/"))
    assert run.raised
    assert len(server_spans(telemetry.spans)) == 1
    assert len(error_events(telemetry.spans)) == 1


@pytest.mark.parametrize("sent", [(), TRACEPARENT], ids=["own trace", "a trace of the caller's"])
@pytest.mark.parametrize("part", PARTS)
def test_a_body_that_fails_around_stock(
    telemetry: Telemetry, part: str, sent: tuple[tuple[str, str], ...]
) -> None:
    """Stock's own span, on which the app's spans hang, is exported: once, with the error once."""

    def app(environ: Any, start_response: Any) -> Any:
        with trace.get_tracer("shop").start_as_current_span("work"):
            start_response("200 OK", [])
        return Answer(part)

    without = in_new_context(OpenTelemetryMiddleware(app), sent)
    telemetry.clear()
    with_us = in_new_context(Seam(OpenTelemetryMiddleware(app), Settings()), sent)
    same(without, with_us)
    server = server_span(telemetry.spans)
    assert server.status.status_code is StatusCode.ERROR
    assert len(error_events(telemetry.spans)) == len(error_events([server])) == 1
    (work,) = [span for span in telemetry.spans if span.name == "work"]
    assert parent_of(work, telemetry.spans) is server


def test_an_error_of_an_earlier_request_leads_to_no_span_of_it(telemetry: Telemetry) -> None:
    kept = ValueError("kept")

    class Again(Answer):
        def fail(self, where: str) -> None:
            if where == "close":
                raise kept

    in_new_context(Seam(OpenTelemetryMiddleware(app_of(Again())), Settings()), ())
    first = server_span(telemetry.spans)
    telemetry.clear()
    in_new_context(Seam(app_of(Again()), Settings()), ())
    second = server_span(telemetry.spans)
    assert second.get_span_context() != first.get_span_context()
    assert len(error_events(telemetry.spans)) == 1


def in_new_context(app: App, sent: tuple[tuple[str, str], ...]) -> Run:
    """Serve one request; stock leaves its context behind where a body fails to close."""
    return Context().run(run_wsgi, app, environ("/", sent))


def test_a_generator_that_fails(telemetry: Telemetry) -> None:
    without = run_wsgi(streaming, environ("/"))
    telemetry.clear()
    same(without, run_wsgi(Seam(streaming, Settings(), layer=VIEW), environ("/")))
    check(telemetry.spans, PLAIN, Expected(layer="view", phase="stream"))


def test_an_error_swallowed_while_streaming(telemetry: Telemetry) -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        try:
            fault_site(PLAIN)
        except ValueError:
            start_response("200 OK", [])
            yield b"sorry"

    run = run_wsgi(Seam(app, Settings()), environ("/"))
    assert run.body == b"sorry"
    check(telemetry.spans, PLAIN, HANDLED)


def test_a_body_that_works_is_closed_once_and_leaves_no_trace(telemetry: Telemetry) -> None:
    body = Answer()
    run = run_wsgi(Seam(app_of(body), Settings()), environ("/"))
    assert (run.body, body.closed) == (b"onetwo", 1)
    assert telemetry.spans == ()


def test_a_body_without_close_is_fine(telemetry: Telemetry) -> None:
    assert run_wsgi(Seam(app_of(iter([b"a", b"b"])), Settings()), environ("/")).body == b"ab"


@pytest.mark.parametrize("body", [[b"a"], (b"a", b"b"), []])
def test_a_body_in_memory_is_passed_on_as_it_is(telemetry: Telemetry, body: Any) -> None:
    returned = Seam(app_of(body), Settings())(environ("/"), lambda *args: None)
    assert returned is body


def test_a_file_for_the_server_is_passed_on_as_it_is(telemetry: Telemetry) -> None:
    body = FileWrapper(io.BytesIO(b"file"))
    request = {**environ("/"), "wsgi.file_wrapper": FileWrapper}
    assert Seam(app_of(body), Settings())(request, lambda *args: None) is body
    assert wsgi_types.is_file(body, request)
    assert not wsgi_types.is_file(body, environ("/"))
    assert not wsgi_types.is_file(body, {"wsgi.file_wrapper": lambda file: file})


def test_an_error_that_was_answered_is_there_before_the_close(telemetry: Telemetry) -> None:
    """A test client that never closes the body still finds the span of an in-memory response."""

    def app(environ: Any, start_response: Any) -> Any:
        try:
            fault_site(PLAIN)
        except ValueError:
            start_response("200 OK", [])
            return [b"sorry"]

    Seam(app, Settings())(environ("/"), lambda *args: None)
    check(telemetry.spans, PLAIN, HANDLED)


def test_a_body_that_nobody_closes_does_not_keep_the_error(telemetry: Telemetry) -> None:
    """An outer layer that raises drops the body as it is."""

    def app(environ: Any, start_response: Any) -> Any:
        try:
            fault_site(PLAIN)
        except ValueError:
            start_response("500 Broken", [])
        return iter([b"sorry"])

    body = Seam(app, Settings())(environ("/"), lambda *args: None)
    assert telemetry.spans == ()
    del body
    assert aftermath.settle()
    check(telemetry.spans, PLAIN, Expected())


def test_closing_twice_records_once(telemetry: Telemetry) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        try:
            fault_site(PLAIN)
        except ValueError:
            start_response("500 Broken", [])
        return Answer()

    body = Seam(app, Settings())(environ("/"), lambda *args: None)
    body.close()
    body.close()
    check(telemetry.spans, PLAIN, Expected())


def served(app: App) -> bytes:
    out = io.BytesIO()
    handler = SimpleHandler(io.BytesIO(), out, io.StringIO(), environ("/"))
    handler.run(app)  # type: ignore[arg-type]
    return out.getvalue()


class Sized:
    """A body whose length tells a server what Content-Length to send."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks

    def __len__(self) -> int:
        return len(self.chunks)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.chunks)


@pytest.mark.parametrize("make", [lambda: Sized(b"one"), lambda: Sized(b"a", b"b"), Answer])
def test_a_server_sends_the_same_bytes(telemetry: Telemetry, make: Callable[[], Any]) -> None:
    bare = served(app_of(make()))
    assert served(Seam(app_of(make()), Settings())) == bare


@pytest.mark.skipif(sys.version_info < (3, 11), reason="3.10 restores a dropped frame")
@pytest.mark.parametrize("part", PARTS)
def test_no_frame_of_ours_in_what_the_server_sees(telemetry: Telemetry, part: str) -> None:
    body = Seam(app_of(Answer(part)), Settings())(environ("/"), lambda *args: None)
    assert isinstance(body, Body)
    with pytest.raises(ValueError, match="plain fault") as found:
        body.close() if part == "close" else list(body)
    assert Raised.of(found.value).functions[-2:] == ("fail", "fault_site")
    assert not {"__next__", "_failed"} & set(Raised.of(found.value).functions)
