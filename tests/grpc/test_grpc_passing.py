"""Interceptors whose source says that they only hand errors on, and who failed among them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc
import pytest
from grpc import aio
from opentelemetry.instrumentation import grpc as stock

import everylayer_grpc
from contract.telemetry import Telemetry, error_events, server_spans
from everylayer_grpc.passing import passing


def check(request: bytes, name: bytes) -> None:
    if request == name:
        raise LookupError(name.decode())


class HandsOn(grpc.ServerInterceptor):
    def intercept_service(self, continuation: Any, details: Any) -> Any:
        return continuation(details)


class First(grpc.ServerInterceptor):
    def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = continuation(details)
        inner = handler.unary_unary

        def around(request: Any, context: Any) -> Any:
            check(request, b"First")
            response = inner(request, context)
            check(request, b"First after")
            return response

        return grpc.unary_unary_rpc_method_handler(around)


class Second(grpc.ServerInterceptor):
    def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = continuation(details)

        def around(request: Any, context: Any) -> Any:
            check(request, b"Second")
            return handler.unary_unary(request, context)

        return handler._replace(unary_unary=around)


class Refuses(grpc.ServerInterceptor):
    def intercept_service(self, continuation: Any, details: Any) -> Any:
        if dict(details.invocation_metadata).get("refuse"):
            raise LookupError("Refuses")
        return continuation(details)


class Catches(grpc.ServerInterceptor):
    def intercept_service(self, continuation: Any, details: Any) -> Any:
        inner = continuation(details).unary_unary

        def around(request: Any, context: Any) -> Any:
            try:
                return inner(request, context)
            except LookupError:
                return b"instead"

        return grpc.unary_unary_rpc_method_handler(around)


class Suppresses(grpc.ServerInterceptor):
    def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = continuation(details)

        def around(request: Any, context: Any) -> Any:
            with contextlib.suppress(LookupError):
                return handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(around)


def quietly(inner: Callable[..., Any]) -> Callable[..., Any]:
    return inner


class GivesAway(grpc.ServerInterceptor):
    def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = continuation(details)
        return grpc.unary_unary_rpc_method_handler(quietly(handler.unary_unary))


class Decorates(grpc.ServerInterceptor):
    def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = continuation(details)

        @quietly
        def around(request: Any, context: Any) -> Any:
            return handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(around)


class Submits(grpc.ServerInterceptor):
    pool: Any = None

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = continuation(details)

        def around(request: Any, context: Any) -> Any:
            return self.pool.submit(handler.unary_unary, request, context)

        return grpc.unary_unary_rpc_method_handler(around)


class Inherits(First):
    pass


class Shares(grpc.ServerInterceptor):
    def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = continuation(details)

        def around(request: Any, context: Any) -> Any:
            return str(handler.unary_unary(request, context))

        return grpc.unary_unary_rpc_method_handler(around)


class AioFirst(aio.ServerInterceptor):
    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = await continuation(details)
        inner = handler.unary_unary

        async def around(request: Any, context: Any) -> Any:
            check(request, b"AioFirst")
            response = await inner(request, context)
            check(request, b"AioFirst after")
            return response

        return grpc.unary_unary_rpc_method_handler(around)


class AioSecond(aio.ServerInterceptor):
    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = await continuation(details)

        async def around(request: Any, context: Any) -> Any:
            check(request, b"AioSecond")
            return await handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(around)


class AioForgets(aio.ServerInterceptor):
    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = await continuation(details)

        async def around(request: Any, context: Any) -> Any:
            return handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(around)


@pytest.mark.parametrize("cls", [HandsOn, First, Second, Refuses, AioFirst, AioSecond])
def test_what_only_hands_on_is_known(cls: type[Any]) -> None:
    assert passing(cls()) is not None


@pytest.mark.parametrize(
    "cls",
    [Catches, Suppresses, GivesAway, Decorates, Submits, Inherits, Shares, AioForgets],
)
def test_what_may_do_more_is_not(cls: type[Any]) -> None:
    assert passing(cls()) is None


def test_a_method_that_is_not_its_source_any_more_is_not_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(First, "intercept_service", Catches.intercept_service)
    assert passing(First()) is None
    made = HandsOn()
    monkeypatch.setattr(made, "intercept_service", Catches().intercept_service)
    assert passing(made) is None


def method(request: bytes, context: Any) -> bytes:
    check(request, b"method")
    return b"well"


async def aio_method(request: bytes, context: Any) -> bytes:
    return method(request, context)


def handlers(behavior: Any) -> Any:
    methods: dict[str, Any] = {"M": grpc.unary_unary_rpc_method_handler(behavior)}
    return (grpc.method_handlers_generic_handler("pass.S", methods),)


def send(chain: list[Any], request: bytes, **more: Any) -> None:
    server = grpc.server(futures.ThreadPoolExecutor(1), interceptors=chain)
    server.add_generic_rpc_handlers(handlers(method))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        rpc: Any = channel.unary_unary("/pass.S/M")
        rpc.future(request, timeout=10, **more).exception()
    server.stop(None).wait(5)


async def send_aio(chain: list[Any], request: bytes) -> None:
    server = aio.server(interceptors=chain)
    server.add_generic_rpc_handlers(handlers(aio_method))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        rpc: Any = channel.unary_unary("/pass.S/M")
        with contextlib.suppress(grpc.RpcError):
            await rpc(request, timeout=10)
    await server.stop(None)


def named(telemetry: Telemetry) -> list[tuple[str, Any]]:
    """Return each error's layer and its position; each is there once."""
    spans = telemetry.wait(lambda found: server_spans(found) and found)
    events = [found.event.attributes or {} for found in error_events(spans)]
    return [
        (str(event["everylayer.layer.name"]), event.get("everylayer.layer.index"))
        for event in events
    ]


CASES = [
    (b"First", [("First", 1)]),
    (b"First after", [("First", 1)]),
    (b"Second", [("Second", 3)]),
    (b"method", [("method", None)]),
    (b"well", []),
]


@pytest.mark.parametrize("beside", [True, False], ids=["beside stock", "alone"])
@pytest.mark.parametrize(("request_", "expected"), CASES)
def test_who_of_them_failed_is_told(
    telemetry: Telemetry, request_: bytes, expected: list[Any], beside: bool
) -> None:
    chain = [HandsOn(), First(), Refuses(), Second(), Catches()]
    chain = chain if request_ != b"method" else chain[:-1]
    begins: list[Any] = [stock.server_interceptor()] if beside else []  # type: ignore[no-untyped-call]
    send([*begins, everylayer_grpc.server_interceptor(), *chain], request_)
    assert named(telemetry) == expected


def test_what_one_of_them_raises_before_there_is_a_method_is_its_own(telemetry: Telemetry) -> None:
    chain = [everylayer_grpc.server_interceptor(), HandsOn(), First(), Refuses(), Second()]
    send(chain, b"", metadata=(("refuse", "yes"),))
    assert named(telemetry) == [("Refuses", 2)]


def test_of_two_of_a_kind_the_one_that_failed_is_told(telemetry: Telemetry) -> None:
    send([everylayer_grpc.server_interceptor(), First(), First(), Second()], b"Second")
    assert named(telemetry) == [("Second", 2)]


@pytest.mark.parametrize("beside", [True, False], ids=["beside stock", "alone"])
@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (b"AioFirst", [("AioFirst", 0)]),
        (b"AioFirst after", [("AioFirst", 0)]),
        (b"AioSecond", [("AioSecond", 1)]),
        (b"method", [("aio_method", None)]),
        (b"well", []),
    ],
)
def test_under_asyncio_too(
    telemetry: Telemetry, request_: bytes, expected: list[Any], beside: bool
) -> None:
    begins: list[Any] = [stock.aio_server_interceptor()] if beside else []  # type: ignore[no-untyped-call]
    ours = everylayer_grpc.aio_server_interceptor()
    asyncio.run(send_aio([*begins, ours, AioFirst(), AioSecond()], request_))
    assert named(telemetry) == expected
