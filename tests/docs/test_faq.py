"""Each answer of docs/faq.md, run: a case for each question, under stock's instrumentation."""

from __future__ import annotations

import asyncio
import logging
import re
import types
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
import sentry_sdk
from django.core.handlers.wsgi import WSGIHandler
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path
from fastapi import FastAPI
from flask import Flask, Response
from flask.sessions import SecureCookieSessionInterface
from opentelemetry import context, trace
from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.grpc import aio_server_interceptor
from opentelemetry.instrumentation.starlette import StarletteInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from sentry_sdk.transport import Transport
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import everylayer
import everylayer_django.patches
import everylayer_grpc
from contract import django_settings
from contract.drive import environ, run_asgi, run_wsgi, scope
from contract.telemetry import (
    Telemetry,
    error_events,
    late_spans,
    parent_of,
    server_span,
    session,
)
from everylayer import settings
from everylayer.redaction import RedactingSpanExporter
from everylayer.sinks.sentry import switch
from everylayer_flask import EveryLayer
from everylayer_starlette import EveryLayerMiddleware
from pages import text_of

django_settings.configure()

PAGE = text_of("faq.md")
QUESTIONS = re.findall(r"^## (.+)\n\n((?:.|\n)+?)\n\n((?:.|\n)+?)(?=\n## |\Z)", PAGE, re.MULTILINE)
THREAD = re.compile(r"https://github\.com/[\w-]+/([\w-]+)/(?:issues|pull)/(\d+)")

Case = Callable[[Telemetry], None]


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    settings.reset()
    before = dict(everylayer.own_failures())
    with session() as found:
        yield found
    settings.reset()
    assert dict(everylayer.own_failures()) == before


def the_error(telemetry: Telemetry) -> tuple[ReadableSpan, dict[str, Any]]:
    """Return the span and the attributes of the only exception event there is."""
    ((span, event),) = error_events(telemetry.spans)
    return span, dict(event.attributes or {})


# Django


class Broken:
    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __call__(self, request: HttpRequest) -> Any:
        if request.path == "/middleware":
            raise LookupError("no such user")
        return self.inner(request)


def stream(request: HttpRequest) -> StreamingHttpResponse:
    def body() -> Iterator[bytes]:
        yield b"begun"
        raise OSError("broke")

    return StreamingHttpResponse(body())


def absent(request: HttpRequest) -> HttpResponse:
    raise Http404("no such order")


def ask_django(url: str, **rules: Any) -> None:
    urls = types.ModuleType("faq_urls")
    vars(urls)["urlpatterns"] = [path("stream", stream), path("absent", absent)]
    everylayer_django.patches.uninstall()
    with override_settings(
        MIDDLEWARE=["everylayer_django.EveryLayerMiddleware", f"{__name__}.Broken"],
        ROOT_URLCONF=urls,
        EVERYLAYER=rules,
    ):
        DjangoInstrumentor().instrument()
        try:
            run_wsgi(WSGIHandler(), environ(url))
        finally:
            DjangoInstrumentor().uninstrument()
            everylayer_django.patches.uninstall()


def a_middleware_is_named_and_has_no_span(telemetry: Telemetry) -> None:
    ask_django("/middleware")
    span, error = the_error(telemetry)
    assert telemetry.spans == (span,)
    assert error["everylayer.layer.name"] == "Broken"
    assert error["everylayer.layer.index"] == 0
    assert span.status.status_code is StatusCode.ERROR


def a_stream_ends_its_span(telemetry: Telemetry) -> None:
    ask_django("/stream")
    span, error = the_error(telemetry)
    assert span is server_span(telemetry.spans)
    assert error["exception.type"] == "OSError"
    assert span.status.status_code is StatusCode.ERROR


def a_404_is_no_error(telemetry: Telemetry) -> None:
    ask_django("/absent")
    ask_django("/nowhere")
    assert not error_events(telemetry.spans)
    assert {span.status.status_code for span in telemetry.spans} == {StatusCode.UNSET}
    telemetry.clear()
    ask_django("/absent", client_errors="all")
    span, error = the_error(telemetry)
    assert error["everylayer.handled"] is True
    assert span.status.status_code is StatusCode.UNSET


# Flask


def flask_app(stock: bool = True, **rules: Any) -> Flask:
    app = Flask("faq")
    if stock:
        FlaskInstrumentor().instrument_app(app)  # type: ignore[no-untyped-call]
    EveryLayer(app, **rules)
    return app


class Session(SecureCookieSessionInterface):
    """Works within a span of its own, as a client of Redis would; may fail."""

    def __init__(self, broken: bool) -> None:
        self.broken = broken

    def open_session(self, *args: Any) -> None:
        with trace.get_tracer("redis").start_as_current_span("GET session"):
            pass
        if self.broken:
            raise ConnectionError("no session")


def a_session_has_its_span(telemetry: Telemetry) -> None:
    app = flask_app()
    app.session_interface = Session(broken=True)
    run_wsgi(app, environ())
    span, error = the_error(telemetry)
    assert span is server_span(telemetry.spans)
    assert error["exception.type"] == "ConnectionError"
    telemetry.clear()
    app = flask_app(stock=False)
    app.session_interface = Session(broken=False)
    run_wsgi(app, environ())
    inner = next(span for span in telemetry.spans if span.name == "GET session")
    assert parent_of(inner, telemetry.spans) is server_span(telemetry.spans)


def a_body_leaves_the_context_as_it_was(telemetry: Telemetry) -> None:
    app = flask_app()

    @app.get("/")
    def view() -> Response:
        def body() -> Iterator[str]:
            yield "begun"
            raise OSError("broke")

        return Response(body())

    before = context.get_current()
    said = Said()
    logging.getLogger("opentelemetry.context").addHandler(said)
    try:
        run_wsgi(app, environ())
        assert context.get_current() == before
        run_wsgi(app, environ("/other"))
    finally:
        logging.getLogger("opentelemetry.context").removeHandler(said)
    assert said.records == []
    _, error = the_error(telemetry)
    (late,) = late_spans(telemetry.spans)
    assert error["exception.type"] == "OSError"
    assert late.status.status_code is StatusCode.ERROR


class Said(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise AttributeError("detail")


def a_bad_str_changes_nothing(telemetry: Telemetry) -> None:
    app = flask_app()
    seen: list[BaseException] = []

    @app.errorhandler(Exception)
    def answer(exc: Exception) -> tuple[str, int]:
        seen.append(exc)
        return "sorry", 503

    @app.get("/")
    def view() -> str:
        raise Unspeakable

    assert run_wsgi(app, environ()).status == 503
    assert [type(exc) for exc in seen] == [Unspeakable]
    span, error = the_error(telemetry)
    assert span.status.status_code is StatusCode.ERROR
    assert error["exception.type"].endswith("Unspeakable")
    assert error["exception.stacktrace"]
    assert "whose str() raises" in error["exception.message"]


def secrets_are_redacted(telemetry: Telemetry) -> None:
    app = flask_app()
    password = "hunter2" * 2

    @app.get("/")
    def view() -> str:
        raise ValueError(f"password={password} of jane@example.com")

    run_wsgi(app, environ())
    span, error = the_error(telemetry)
    for text in (
        error["exception.message"],
        error["exception.stacktrace"],
        span.status.description,
    ):
        assert "hunter2" not in text
        assert "jane@" not in text
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(RedactingSpanExporter(kept)))
    with (
        pytest.raises(ValueError, match="hunter2"),
        provider.get_tracer("app").start_as_current_span("charge"),
    ):
        raise ValueError(f"password={password}")
    (other,) = kept.get_finished_spans()
    assert "hunter2" not in other.to_json()


# Starlette, FastAPI


def a_handler_asks_the_exception(telemetry: Telemetry) -> None:
    told: list[Any] = []

    async def view(request: Request) -> None:
        raise LookupError("no such order")

    async def answer(request: Request, exc: Exception) -> PlainTextResponse:
        told.append(everylayer.trace_of(exc))
        return PlainTextResponse("sorry", 500)

    app = Starlette(routes=[Route("/", view)], exception_handlers={Exception: answer})
    StarletteInstrumentor().instrument_app(app)
    app.add_middleware(EveryLayerMiddleware)
    run_asgi(app, scope())
    span = server_span(telemetry.spans)
    assert span.context is not None
    assert told[0].trace_id == trace.format_trace_id(span.context.trace_id)
    assert told[0].span_id == trace.format_span_id(span.context.span_id)


def background_work_is_late(telemetry: Telemetry) -> None:
    async def work() -> None:
        await asyncio.sleep(0.05)
        raise OSError("broke")

    async def view(request: Request) -> PlainTextResponse:
        return PlainTextResponse("ok", background=BackgroundTask(work))

    app = Starlette(routes=[Route("/", view)])
    StarletteInstrumentor().instrument_app(app)
    app.add_middleware(EveryLayerMiddleware)
    run_asgi(app, scope())
    server = server_span(telemetry.spans)
    late, _ = the_error(telemetry)
    assert late.name.endswith("work (late)")
    assert parent_of(late, telemetry.spans) is server
    assert server.status.status_code is StatusCode.UNSET
    assert (late.start_time or 0) - (server.end_time or 0) > 40_000_000


def fastapi_records_it_once(telemetry: Telemetry) -> None:
    app = FastAPI()

    @app.get("/")
    def view() -> None:
        raise LookupError("no such order")

    FastAPIInstrumentor.instrument_app(app)
    app.add_middleware(EveryLayerMiddleware)
    try:
        run_asgi(app, scope())
    finally:
        FastAPIInstrumentor.uninstrument_app(app)
    span, error = the_error(telemetry)
    assert span is server_span(telemetry.spans)
    assert error["exception.type"] == "LookupError"


# gRPC


def an_rpc_records_it_once(telemetry: Telemetry) -> None:
    async def run() -> None:
        async def order(request: bytes, context: Any) -> bytes:
            raise LookupError("no such order")

        server = grpc.aio.server(
            interceptors=[
                everylayer_grpc.aio_server_interceptor(),
                aio_server_interceptor(),  # type: ignore[no-untyped-call]
            ]
        )
        handlers = {"Order": grpc.unary_unary_rpc_method_handler(order)}
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("shop.Shop", handlers),)
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call: Any = channel.unary_unary("/shop.Shop/Order")
            with pytest.raises(grpc.RpcError):
                await call(b"")
        await server.stop(None)

    asyncio.run(run())
    span, error = the_error(telemetry)
    assert span is server_span(telemetry.spans)
    assert error["exception.type"] == "LookupError"


# Sentry


class Kept(Transport):
    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []

    def capture_envelope(self, envelope: Any) -> None:
        event = envelope.get_event()
        if event is not None:
            self.events.append(dict(event))


def sentry_names_the_trace(telemetry: Telemetry) -> None:
    kept = Kept()
    # Its integrations would patch the process for good.
    bare: dict[str, Any] = {"default_integrations": False, "auto_enabling_integrations": False}
    sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", release="faq", transport=kept, **bare)
    try:
        app = flask_app()

        @app.get("/")
        def view() -> str:
            try:
                raise LookupError("no such order")
            except LookupError as exc:
                sentry_sdk.capture_exception(exc)
                raise

        run_wsgi(app, environ())
    finally:
        sentry_sdk.get_client().close(timeout=0)
        sentry_sdk.get_global_scope().set_client(None)
        switch.detach()
    (event,) = kept.events
    span, error = the_error(telemetry)
    assert span.context is not None
    assert event["contexts"]["trace"]["trace_id"] == trace.format_trace_id(span.context.trace_id)
    assert event["contexts"]["trace"]["span_id"] == trace.format_span_id(span.context.span_id)
    assert error["sentry.event_id"] == event["event_id"]


# Thread -> the case that runs its answer.
CASES: dict[tuple[str, str], Case] = {
    ("opentelemetry-python-contrib", "3723"): a_middleware_is_named_and_has_no_span,
    ("opentelemetry-python-contrib", "4681"): a_stream_ends_its_span,
    ("opentelemetry-python-contrib", "1397"): a_session_has_its_span,
    ("opentelemetry-python-contrib", "3007"): a_handler_asks_the_exception,
    ("opentelemetry-python-contrib", "5068"): an_rpc_records_it_once,
    ("opentelemetry-python-contrib", "1684"): background_work_is_late,
    ("opentelemetry-python-contrib", "3937"): a_body_leaves_the_context_as_it_was,
    ("opentelemetry-python-contrib", "1037"): a_404_is_no_error,
    ("opentelemetry-python", "2683"): a_bad_str_changes_nothing,
    ("opentelemetry-python", "4424"): secrets_are_redacted,
    ("sentry-python", "3230"): sentry_names_the_trace,
    ("opentelemetry-python-contrib", "3637"): fastapi_records_it_once,
}


@pytest.mark.parametrize("thread", CASES, ids="#".join)
def test_the_answer_holds(thread: tuple[str, str], telemetry: Telemetry) -> None:
    CASES[thread](telemetry)


def test_each_question_has_a_thread_a_case_and_three_sentences() -> None:
    first = [THREAD.findall(threads)[0] for _, threads, _ in QUESTIONS]
    assert first == list(CASES)
    assert len(QUESTIONS) == PAGE.count("\n## ")
    for question, _, answer in QUESTIONS:
        told = re.sub(r"`[^`]*`|\([^)]*\)", "x", answer)
        assert len(re.findall(r"[.?!](?=\s|$)", told)) == 3, question
