"""How an RPC ended is told before stock ends the client's span, in whatever thread that does it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from opentelemetry.instrumentation import grpc as stock
from opentelemetry.instrumentation.grpc.grpcext import intercept_channel
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

import everylayer_grpc
import grpc_sync
from contract.telemetry import Telemetry, error_events, session, tree


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with session(), grpc_sync.serving([]) as made:
        yield made


class Late:
    """As gRPC in an unlucky moment: the first callback is still to begin as the second is added."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.added: list[threading.Thread] = []

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        first = not self.added

        def run() -> None:
            self.inner.exception()  # Once there is one.
            if first:
                threading.Event().wait(0.1)
            callback(self)

        self.added.append(threading.Thread(target=run))
        self.added[-1].start()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        return next(self.inner)


class LateCall(Late, grpc.Future, grpc.Call):
    """All that gRPC asks for, by the one inside."""


# The abstract methods are there by `__getattr__`, which the two classes would hide.
for _name in {*grpc.Future.__abstractmethods__, *grpc.Call.__abstractmethods__} - {*dir(Late)}:

    def _handed(self: Any, *args: Any, _name: str = _name, **named: Any) -> Any:
        return getattr(self.inner, _name)(*args, **named)

    setattr(LateCall, _name, _handed)
LateCall.__abstractmethods__ = frozenset()


class Delaying(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    def __init__(self) -> None:
        self.made: list[LateCall] = []

    def _intercept(self, continuation: Any, details: Any, request: Any) -> Any:
        self.made.append(LateCall(continuation(details, request)))
        return self.made[-1]

    intercept_unary_unary: Any = _intercept
    intercept_unary_stream: Any = _intercept
    intercept_stream_unary: Any = _intercept
    intercept_stream_stream: Any = _intercept


def ended(spans: Any) -> list[ReadableSpan]:
    return [span for span in spans if span.kind is SpanKind.CLIENT]


@pytest.mark.parametrize("shape", ["unary_unary", "unary_stream", "stream_unary", "stream_stream"])
def test_an_end_is_told_first(address: str, telemetry: Telemetry, shape: str) -> None:
    everylayer_grpc.client_interceptors()
    delaying = Delaying()
    with grpc.insecure_channel(address) as raw:
        inner = grpc.intercept_channel(raw, delaying)
        channel = intercept_channel(inner, stock.client_interceptor())  # type: ignore[no-untyped-call]
        rpc: Any = getattr(channel, shape)(f"/corpus.S/{shape}-servicer")
        request: Any = iter([b"1"]) if shape.startswith("stream") else b"1"
        going = rpc(request) if shape.endswith("stream") else rpc.future(request)
        with pytest.raises(grpc.RpcError):
            list(going) if shape.endswith("stream") else going.result()
        for thread in (thread for call in delaying.made for thread in call.added):
            thread.join()
    telemetry.wait(ended)
    (span,) = ended(telemetry.spans)
    (found,) = error_events(telemetry.spans)
    assert found.span is span, tree(telemetry.spans)
    assert (span.attributes or {})["rpc.status_code"] == "UNKNOWN"
    assert str((found.event.attributes or {})["exception.message"]).startswith("UNKNOWN: ")
    assert span.status.status_code is StatusCode.ERROR
