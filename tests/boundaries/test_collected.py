"""Requests that nobody brings to an end: the collector does, within an exporter or anywhere."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from contextvars import copy_context
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind

import everylayer
from contract.drive import environ, scope
from contract.locked import Locked, uncollected
from contract.telemetry import error_events, install
from everylayer.awaited import Chain, Exchange, Outermost
from everylayer.boundaries import aftermath
from everylayer.settings import Settings


class Lost(Exception):
    pass


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Locked:
    install()
    found = Locked()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(found))
    monkeypatch.setattr(trace, "get_tracer", lambda name, *more, **given: provider.get_tracer(name))
    return found


def chunks() -> Iterator[bytes]:
    while True:
        yield b"chunk"


def answering(request: Any, start_response: Any) -> Iterator[bytes]:
    try:
        raise Lost
    except Lost:
        start_response("503 Service Unavailable", [])
    return chunks()


@contextlib.contextmanager
def wsgi() -> Iterator[Any]:
    from everylayer.wsgi import Seam

    yield iter(Seam(answering, Settings())(environ(), lambda *_: None))


@contextlib.contextmanager
def flask() -> Iterator[Any]:
    from flask import Flask

    from everylayer_flask import EveryLayer

    def layer(request: Any, start_response: Any) -> Iterator[bytes]:
        yield from answering(request, start_response)

    app = Flask("collected")
    app.wsgi_app = layer  # type: ignore[method-assign]
    EveryLayer(app)
    yield iter(app(environ(), lambda *_: None))


class Answering:
    """Django's way to answer an error."""

    def __init__(self, get_response: Any) -> None:
        self._get_response = get_response

    def __call__(self, request: Any) -> Any:
        return self._get_response(request)

    def process_exception(self, request: Any, exc: Exception) -> Any:
        from django.http import StreamingHttpResponse

        return StreamingHttpResponse(chunks(), status=503)


@contextlib.contextmanager
def django() -> Iterator[Any]:
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpRequest
    from django.test import override_settings
    from django.urls import path

    from everylayer_django import patches

    def view(request: HttpRequest) -> None:
        raise Lost

    middleware = ["everylayer_django.EveryLayerMiddleware", f"{__name__}.{Answering.__name__}"]
    with override_settings(MIDDLEWARE=middleware, ROOT_URLCONF=(path("", view),)):
        yield iter(WSGIHandler()(environ(), lambda *_: None))
    patches.uninstall()


class Steps:
    """A coroutine that is taken as far as it goes, as an event loop does."""

    def __init__(self, coroutine: Any) -> None:
        self._coroutine = coroutine

    def __next__(self) -> None:
        self._coroutine.send(None)


class Never:
    def __await__(self) -> Generator[None, None, None]:
        while True:
            yield


async def nothing(*_: Any) -> dict[str, Any]:
    return {"type": "http.disconnect"}


async def waiting(request: Any, receive: Any, send: Any) -> None:
    try:
        raise Lost
    except Lost:
        await send({"type": "http.response.start", "status": 503, "headers": []})
    await Never()


@contextlib.contextmanager
def asgi() -> Iterator[Any]:
    from everylayer.asgi import Seam

    yield Steps(Seam(waiting, Settings())(scope(), nothing, nothing))


class Given(Exchange):
    """The words of a framework whose requests are plain objects."""

    @staticmethod
    def of(request: Any) -> Any:
        return request.exchange

    @staticmethod
    def keep(request: Any, exchange: Exchange) -> None:
        request.exchange = exchange

    @staticmethod
    def scope_of(request: Any) -> dict[str, Any]:
        return scope()

    @staticmethod
    def client_status(exc: BaseException) -> None:
        return None

    @staticmethod
    def has_begun(request: Any) -> bool:
        return True


@contextlib.contextmanager
def awaited() -> Iterator[Any]:
    async def view(request: Any) -> None:
        await Never()

    seam = Outermost(Given, Settings(), lambda handler, request, seam: Chain(handler, True))
    yield Steps(seam(SimpleNamespace(), view))


@contextlib.contextmanager
def starlette() -> Iterator[Any]:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    from everylayer_starlette import EveryLayerMiddleware

    app = Starlette(routes=[Mount("/", waiting)])
    app.add_middleware(EveryLayerMiddleware)
    yield Steps(app(scope(), nothing, nothing))


@contextlib.contextmanager
def grpc_server() -> Iterator[Any]:
    grpc = pytest.importorskip("grpc")
    import everylayer_grpc

    def method(request: bytes, context: Any) -> Iterator[bytes]:
        try:
            yield b"first"
        finally:
            raise Lost

    details = SimpleNamespace(method="/shop.Shop/Watch", invocation_metadata=())
    handler = everylayer_grpc.server_interceptor().intercept_service(
        lambda _: grpc.unary_stream_rpc_method_handler(method), details
    )
    context = SimpleNamespace(
        code=lambda: None,
        details=lambda: b"",
        is_active=lambda: False,
        peer=lambda: "unix:",
        time_remaining=lambda: None,
    )
    yield handler.unary_stream(b"", context)


@contextlib.contextmanager
def grpc_client() -> Iterator[Any]:
    pytest.importorskip("grpc")
    import everylayer_grpc

    (interceptor,) = everylayer_grpc.client_interceptors()
    details = SimpleNamespace(
        method="/shop.Shop/Watch", timeout=None, metadata=(), credentials=None
    )
    yield interceptor.intercept_unary_stream(lambda *_: chunks(), details, b"")


@contextlib.contextmanager
def guarded() -> Iterator[Any]:
    @everylayer.guard(layer="report")
    def rows() -> Iterator[bytes]:
        try:
            yield from chunks()
        finally:
            raise Lost

    yield rows()


@contextlib.contextmanager
def propagated() -> Iterator[Any]:
    def rows() -> Iterator[bytes]:
        try:
            yield from chunks()
        finally:
            raise Lost

    yield everylayer.propagate(rows)()


# How to begin, whether that is work of a request that has ended, and whether there is an error.
REQUESTS: dict[str, tuple[Callable[[], Any], bool, bool]] = {
    "wsgi": (wsgi, False, True),
    "flask": (flask, False, True),
    "django": (django, False, True),
    "asgi": (asgi, False, True),
    "awaited": (awaited, False, False),
    "starlette": (starlette, False, True),
    "grpc_server": (grpc_server, False, True),
    "grpc_client": (grpc_client, False, False),
    "guarded": (guarded, True, True),
    "propagated": (propagated, True, True),
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", REQUESTS)
def test_what_the_collector_ends_within_an_exporter_is_recorded(
    name: str, exporter: Locked
) -> None:
    begin, late, fails = REQUESTS[name]
    tracer = trace.get_tracer("another")
    with contextlib.ExitStack() as stack:
        request_span = None
        if late:
            request_span = tracer.start_span("GET /", kind=SpanKind.SERVER)
            stack.enter_context(trace.use_span(request_span))
        request = stack.enter_context(begin())
        stack.enter_context(uncollected())
        # In a context of its own, as of another thread or task.
        copy_context().run(next, request)
        if request_span is not None:
            request_span.end()
        cycle: list[Any] = [request]
        cycle.append(cycle)
        del cycle, request
        another = tracer.start_span("another request", kind=SpanKind.SERVER, context=Context())
        with trace.use_span(another, end_on_exit=True):
            pass
        # The export of that span has collected it, with the lock held.
    assert aftermath.settle()
    assert not exporter.deadlocks
    found = [span for span in exporter.spans if span.name != "another request"]
    assert found
    assert len(error_events(found)) == len(error_events(exporter.spans)) == fails
    assert {span.context.trace_id for span in found if span.context} != {
        another.get_span_context().trace_id
    }
