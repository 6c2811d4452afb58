"""What our own way of running the interceptors must leave to them as gRPC's leaves it."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from opentelemetry.instrumentation import grpc as stock

import everylayer_grpc
from contract.telemetry import Telemetry, server_spans

UNARY = "/pipe.S/Unary"
STREAM = "/pipe.S/Stream"


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def unary(request: bytes, context: Any) -> bytes:
    if request == b"fail":
        raise ValueError("asked for")
    return request


def stream(requests: Any, context: Any) -> Any:
    first = requests.next()  # As gRPC's own iterator can.
    messages = [first, *requests]
    with pytest.raises(StopIteration):
        next(requests)
    if messages == [b"fail"]:
        raise ValueError("asked for")
    return iter(messages)  # No generator.


def send(interceptors: list[Any], method: str, requests: list[list[bytes]]) -> list[list[bytes]]:
    """Send RPCs one after the other; return what came back, nothing for those that failed."""
    server = grpc.server(futures.ThreadPoolExecutor(1), interceptors=interceptors)
    methods: dict[str, Any] = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Stream": grpc.stream_stream_rpc_method_handler(stream),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("pipe.S", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    answers: list[list[bytes]] = []
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        for messages in requests:
            rpc: Any = (
                channel.unary_unary(method) if method == UNARY else channel.stream_stream(method)
            )
            try:
                answer = rpc(messages[0] if method == UNARY else iter(messages))
                answers.append([answer] if method == UNARY else list(answer))
            except grpc.RpcError:
                answers.append([])
    server.stop(None).wait(5)
    return answers


class Remembering(grpc.ServerInterceptor):
    """Makes its handler of a method once, and gives it again for each RPC."""

    def __init__(self) -> None:
        self.made: dict[str, Any] = {}

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        if details.method not in self.made:
            self.made[details.method] = continuation(details)
        return self.made[details.method]


class Changing(grpc.ServerInterceptor):
    """Makes its handler of the one it gets by `_replace`, and swallows what fails inside."""

    def __init__(self, act: Callable[..., Any]) -> None:
        self.act = act

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = continuation(details)
        return handler._replace(unary_unary=functools.partial(self.act, handler.unary_unary))


def swallow(inner: Any, request: bytes, context: Any) -> bytes:
    try:
        return bytes(inner(request, context))
    except ValueError:
        return b"instead"


def fail(inner: Any, request: bytes, context: Any) -> bytes:
    raise LookupError("between")


def errors(telemetry: Telemetry, count: int) -> list[list[str]]:
    spans = telemetry.wait(lambda found: len(server_spans(found)) == count and server_spans(found))
    return [
        [str((event.attributes or {})["exception.type"]) for event in span.events]
        for span in sorted(spans, key=lambda span: span.start_time or 0)
    ]


@pytest.mark.parametrize("beside", [True, False], ids=["beside stock", "alone"])
@pytest.mark.parametrize("method", [UNARY, STREAM])
def test_a_handler_kept_for_all_rpcs_shows_each_error_to_its_own(
    telemetry: Telemetry, method: str, beside: bool
) -> None:
    chain: list[Any] = [Remembering(), everylayer_grpc.server_interceptor(), Remembering()]
    if beside:
        chain.insert(0, stock.server_interceptor())  # type: ignore[no-untyped-call]
    requests = [[b"fail"], [b"well"], [b"fail"]]
    assert send(chain, method, requests) == [[], [b"well"], []]
    assert errors(telemetry, 3) == [["ValueError"], [], ["ValueError"]]


def test_a_handler_made_of_ours_is_not_taken_for_ours(telemetry: Telemetry) -> None:
    chain = [everylayer_grpc.server_interceptor(), Changing(swallow), Changing(fail)]
    assert send(chain, UNARY, [[b"x"]]) == [[]]
    assert errors(telemetry, 1) == [["LookupError"]]
    (span,) = telemetry.spans
    assert (span.attributes or {})["everylayer.layer.name"] == "Changing"
    (event,) = span.events
    assert (event.attributes or {})["everylayer.layer.index"] == 1


def test_what_is_swallowed_between_two_of_them_is_seen(telemetry: Telemetry) -> None:
    chain = [everylayer_grpc.server_interceptor(), Changing(swallow), Remembering()]
    assert send(chain, UNARY, [[b"fail"]]) == [[b"instead"]]
    assert errors(telemetry, 1) == [["ValueError"]]


def test_messages_of_any_iterator_pass_and_are_counted(telemetry: Telemetry) -> None:
    chain = [stock.server_interceptor(), everylayer_grpc.server_interceptor()]  # type: ignore[no-untyped-call]
    assert send(chain, STREAM, [[b"1", b"2", b"3"]]) == [[b"1", b"2", b"3"]]
    (span,) = telemetry.wait(server_spans)
    attributes = span.attributes or {}
    assert (attributes["rpc.message.received"], attributes["rpc.message.sent"]) == (3, 3)
