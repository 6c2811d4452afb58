"""Stock's span is made current by ours if the SDK is as it was; any other tracer is left alone."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.grpc._aio_server import OpenTelemetryAioServerInterceptor
from opentelemetry.instrumentation.grpc._server import OpenTelemetryServerInterceptor
from opentelemetry.sdk.trace import Span, SpanProcessor, Tracer, TracerProvider
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.util._decorator import _agnosticcontextmanager

import everylayer_grpc
from contract.telemetry import Telemetry, error_events, server_span, server_spans
from grpc_cases import BY_NAME, Outcome
from grpc_pair import KINDS, innermost, send

UNARY = BY_NAME["unary_unary"]
kinds = pytest.mark.parametrize("kind", KINDS)


class Other:
    """A tracer that is not the SDK's own, and has its own way to make a span current."""

    def __init__(self) -> None:
        self.inner = trace.get_tracer("inner")
        self.entered: list[str] = []

    def start_as_current_span(self, name: str, **named: Any) -> AbstractContextManager[Any]:
        self.entered.append(name)
        return self.inner.start_as_current_span(name, **named)


class AtTheEnd(SpanProcessor):
    """Which span is current as one ends."""

    def __init__(self) -> None:
        self.current: list[Any] = []

    def on_end(self, span: Any) -> None:
        self.current.append(trace.get_current_span())


def stock(kind: str, tracer: Any) -> Any:
    cls = OpenTelemetryServerInterceptor if kind == "sync" else OpenTelemetryAioServerInterceptor
    return cls(tracer)  # type: ignore[no-untyped-call]


def ours(kind: str) -> Any:
    if kind == "sync":
        return everylayer_grpc.server_interceptor()
    return everylayer_grpc.aio_server_interceptor()


def served(kind: str, begins: Any, act: Callable[[Any, Any], Any] = lambda *_: b"ok") -> Outcome:
    return send(kind, [begins, innermost(kind, act), ours(kind)], UNARY, "ok")


@kinds
def test_the_span_is_current_within_and_the_context_is_as_it_was_after(kind: str) -> None:
    provider, end = TracerProvider(), AtTheEnd()
    provider.add_span_processor(end)
    seen: list[Any] = []

    def act(request: Any, context: Any) -> bytes:
        seen.append(trace.get_current_span())
        return b"ok"

    served(kind, stock(kind, provider.get_tracer("stock")), act)
    (span,) = seen
    assert isinstance(span, Span)
    assert span.kind is SpanKind.SERVER
    assert span.end_time is not None
    assert end.current == [trace.INVALID_SPAN]


@kinds
def test_what_the_app_has_made_stays_as_it_was(kind: str, telemetry: Telemetry) -> None:
    tracer = trace.get_tracer("stock")
    begins = stock(kind, tracer)
    served(kind, begins)
    assert begins._tracer is tracer
    assert server_span(telemetry.spans).instrumentation_scope.name == "stock"  # type: ignore[union-attr]


@kinds
def test_another_tracer_is_entered_in_its_own_way(kind: str, telemetry: Telemetry) -> None:
    other = Other()

    def act(request: Any, context: Any) -> bytes:
        raise ValueError("asked for")

    served(kind, stock(kind, other), act)
    assert len(other.entered) == 1
    span = server_span(telemetry.spans)
    assert span.status.status_code is StatusCode.ERROR
    assert len(error_events([span])) == 1


@kinds
def test_a_way_that_somebody_has_put_in_place_is_taken(
    kind: str, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = Tracer.start_as_current_span
    entered: list[str] = []

    @functools.wraps(usual)
    def watched(self: Any, name: str, *args: Any, **named: Any) -> Any:
        entered.append(name)
        return usual(self, name, *args, **named)

    monkeypatch.setattr(Tracer, "start_as_current_span", watched)
    served(kind, stock(kind, trace.get_tracer("stock")))
    assert len(entered) == 1
    assert server_span(telemetry.spans).status.status_code is StatusCode.UNSET


@kinds
def test_a_tracer_below_the_sdks_is_entered_in_its_own_way(kind: str, telemetry: Telemetry) -> None:
    class Below(Tracer):
        @_agnosticcontextmanager
        @functools.wraps(Tracer.start_as_current_span)
        def start_as_current_span(self, name: str, *args: Any, **named: Any) -> Iterator[Any]:
            with super().start_as_current_span(name, *args, **named) as span:
                span.set_attribute("mine", True)
                yield span

    tracer: Any = copy.copy(telemetry.provider.get_tracer("stock"))
    tracer.__class__ = Below
    served(kind, stock(kind, tracer))
    assert (server_span(telemetry.spans).attributes or {})["mine"] is True


@kinds
def test_a_provider_may_come_after_the_server(
    kind: str, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracer = trace.ProxyTracer("stock")  # As stock gets it where there is no provider yet.
    begins = stock(kind, tracer)
    with monkeypatch.context() as without:
        without.setattr(trace, "_TRACER_PROVIDER", None)
        made = [begins, innermost(kind, lambda *_: b"ok"), ours(kind)]
        send(kind, made, UNARY, "ok")
    assert telemetry.spans == ()
    send(kind, made, UNARY, "ok")
    assert server_span(telemetry.spans).kind is SpanKind.SERVER


@pytest.mark.parametrize("shape", ["unary_unary", "stream_stream"])
@pytest.mark.parametrize("inside", [True, False], ids=["an interceptor", "the method"])
@kinds
def test_an_rpc_that_stock_leaves_alone_gets_no_span_of_ours(
    kind: str, inside: bool, shape: str, telemetry: Telemetry
) -> None:
    begins = stock(kind, trace.get_tracer("stock"))
    begins._filter = lambda details: False

    def act(request: Any, context: Any) -> bytes:
        raise ValueError("asked for")

    layers = [begins, innermost(kind, act), ours(kind)] if inside else [begins, ours(kind)]
    outcome = send(kind, layers, BY_NAME["unary_unary" if inside else shape], "servicer")
    assert outcome.code is grpc.StatusCode.UNKNOWN
    assert telemetry.spans == ()


@pytest.mark.parametrize("generates", [True, False])
def test_a_call_is_told_from_the_responses_that_it_gives(
    generates: bool, telemetry: Telemetry
) -> None:
    def calls(request: bytes, context: Any) -> Iterator[bytes]:
        raise ValueError("asked for")

    def generator(request: bytes, context: Any) -> Iterator[bytes]:
        yield calls(request, context)  # type: ignore[misc]

    method = grpc.unary_stream_rpc_method_handler(generator if generates else calls)
    layers = [stock("sync", trace.get_tracer("stock")), ours("sync")]
    server = grpc.server(futures.ThreadPoolExecutor(1), interceptors=layers)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("e.S", {"M": method}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        rpc: Any = channel.unary_stream("/e.S/M")
        assert rpc(b"").code() is grpc.StatusCode.UNKNOWN
    server.stop(None).wait(5)
    (found,) = error_events(telemetry.wait(server_spans))
    phase = (found.event.attributes or {})["everylayer.layer.phase"]
    assert phase == ("response" if generates else "call")


class Named(OpenTelemetryServerInterceptor):
    """An app's own, below stock's."""

    @contextmanager
    def _start_span(self, *args: Any, **named: Any) -> Iterator[Any]:
        with super()._start_span(*args, **named) as span:  # type: ignore[no-untyped-call]
            span.set_attribute("mine", type(self._tracer).__name__)
            yield span


def test_a_class_below_stocks_keeps_its_tracer(telemetry: Telemetry) -> None:
    served("sync", Named(trace.get_tracer("stock")))  # type: ignore[no-untyped-call]
    assert (server_span(telemetry.spans).attributes or {})["mine"] in ("Tracer", "ProxyTracer")


LEAVING = [
    *((kind, error) for kind in KINDS for error in (Exception, ValueError)),
    ("sync", StopIteration),  # No coroutine can raise it.
]


@pytest.mark.parametrize(("kind", "error"), LEAVING)
def test_an_exception_that_leaves_is_told_once_and_ends_the_span(
    kind: str, error: type[BaseException], telemetry: Telemetry
) -> None:
    def act(request: Any, context: Any) -> bytes:
        raise error("asked for")

    served(kind, stock(kind, trace.get_tracer("stock")), act)
    telemetry.wait(error_events)
    (found,) = error_events(telemetry.spans)
    assert found.span.kind is SpanKind.SERVER
    assert found.span.status.status_code is StatusCode.ERROR
