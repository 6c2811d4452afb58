"""A synchronous server whose methods fail as their names say, and a client of it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import Any

import grpc

from contract.faults import PLAIN, fault_site
from grpc_cases import (
    CASES,
    CODES,
    CONVERTED,
    RAISED,
    TIMEOUT,
    Outcome,
    Place,
    Shape,
    method_of,
    place_in,
)

REQUESTS = (b"1", b"2", b"3")
_GONE = threading.Event()


def code_and_raise(context: Any) -> None:
    context.set_code(grpc.StatusCode.NOT_FOUND)
    context.set_details("no such thing")
    fault_site(PLAIN)


def servicer(place: str) -> Callable[..., Any]:
    """Return the act of a method, as a generator of its responses."""

    def act(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        context.set_trailing_metadata((("kept", place),))
        if place == "servicer" or place in CONVERTED:
            fault_site(PLAIN)
        if place == "abort":
            context.abort(grpc.StatusCode.UNAVAILABLE, "no way")
        if place == "not_found":
            context.abort(grpc.StatusCode.NOT_FOUND, "no way")
        if place == "coded":
            code_and_raise(context)
        if place in ("cancel", "deadline"):
            yield b"begun"
            while context.is_active():
                _GONE.wait(0.01)
            return
        for request in requests:
            yield b"re:" + request
            if place == "responses":
                fault_site(PLAIN)

    return act


def behavior(shape: Shape, place: str) -> Callable[..., Any]:
    act = servicer(place)

    if shape.gives_stream:

        def servicer_(request: Any, context: Any) -> Any:
            yield from act(request if shape.takes_stream else iter([request]), context)
    else:

        def servicer_(request: Any, context: Any) -> Any:
            requests = request if shape.takes_stream else iter([request])
            return b",".join(act(requests, context))

    servicer_.__name__ = servicer_.__qualname__ = "servicer"
    return servicer_


def handlers() -> dict[str, Any]:
    return {
        f"{shape.name}-{place.name}": factory(shape)(behavior(shape, place.name))
        for shape, place in CASES
    }


def factory(shape: Shape) -> Callable[..., Any]:
    return getattr(grpc, f"{shape.name}_rpc_method_handler")  # type: ignore[no-any-return]


def changed(handler: Any, wrap: Callable[[Any, bool], Any]) -> Any:
    """Return a handler like `handler`, around whose function is what `wrap` makes of it."""
    name = "_".join(
        "stream" if streams else "unary"
        for streams in (handler.request_streaming, handler.response_streaming)
    )
    return getattr(grpc, f"{name}_rpc_method_handler")(
        wrap(getattr(handler, name), handler.response_streaming),
        handler.request_deserializer,
        handler.response_serializer,
    )


class PassThrough(grpc.ServerInterceptor):
    def intercept_service(self, continuation: Any, details: Any) -> Any:
        return continuation(details)


def converting(place: str) -> Callable[[Any, bool], Any]:
    def answer(context: Any) -> bytes:
        if place == "converted_abort":
            context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        if place in CODES:
            context.set_code(CODES[place])
        context.set_details("converted")
        return b"instead"

    def wrap(inner: Any, gives_stream: bool) -> Any:
        def called(request: Any, context: Any) -> Any:
            try:
                return inner(request, context)
            except ValueError:
                return answer(context)

        def streamed(request: Any, context: Any) -> Any:
            try:
                yield from inner(request, context)
            except ValueError:
                yield answer(context)

        return streamed if gives_stream else called

    return wrap


class Recovery(grpc.ServerInterceptor):
    """Answers for what fails inside it, where the method's name asks for that."""

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        place = place_in(details.method)
        try:
            handler = continuation(details)
        except ValueError:
            if place != "intercept_answered":
                raise
            return refusing(details.method)
        return changed(handler, converting(place)) if place in CONVERTED else handler


def refusing(method: str) -> Any:
    shape = method.rpartition("/")[2].partition("-")[0]

    def refused(request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "refused")

    def refused_stream(request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "refused")
        yield b""

    act = refused_stream if shape.endswith("stream") else refused
    return getattr(grpc, f"{shape}_rpc_method_handler")(act)


def raising(place: str) -> Callable[[Any, bool], Any]:
    def enter(request: Any, context: Any) -> Any:
        if place == "before":
            fault_site(PLAIN)
        if place == "refused":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "no way")
        return failing(request) if place == "requests" else request

    def wrap(inner: Any, gives_stream: bool) -> Any:
        def called(request: Any, context: Any) -> Any:
            response = inner(enter(request, context), context)
            if place == "after":
                fault_site(PLAIN)
            return response

        def streamed(request: Any, context: Any) -> Any:
            yield from inner(enter(request, context), context)
            if place == "after":
                fault_site(PLAIN)

        return streamed if gives_stream else called

    return wrap


class Raiser(grpc.ServerInterceptor):
    """Fails where the method's name asks for that."""

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        place = place_in(details.method)
        if place in ("intercept", "intercept_answered"):
            fault_site(PLAIN)
        handler = continuation(details)
        return changed(handler, raising(place)) if place in RAISED else handler


def failing(requests: Any) -> Iterator[bytes]:
    yield next(requests)
    fault_site(PLAIN)


@contextlib.contextmanager
def serving(
    interceptors: Sequence[Any], credentials: grpc.ServerCredentials | None = None
) -> Iterator[str]:
    """Give the address of a server on the loopback."""
    pool = futures.ThreadPoolExecutor(4)
    server = grpc.server(pool, interceptors=list(interceptors))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("corpus.S", handlers()),))
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait(5)
        pool.shutdown()


def call(channel: grpc.Channel, shape: Shape, place: Place) -> Outcome:
    """Send one RPC; return all that its client sees of it."""
    rpc: Any = getattr(channel, shape.name)(method_of(shape, place))
    request: Any = iter(REQUESTS) if shape.takes_stream else REQUESTS[0]
    timeout = TIMEOUT if place.name == "deadline" else 10
    messages = []
    if shape.gives_stream:
        going = rpc(request, timeout=timeout)
        with contextlib.suppress(grpc.RpcError):
            for message in going:
                messages.append(message)
                if place.name == "cancel":
                    going.cancel()
    else:
        going = rpc.future(request, timeout=timeout)
        if place.name == "cancel":
            _GONE.wait(0.05)
            going.cancel()
        with contextlib.suppress(grpc.RpcError, grpc.FutureCancelledError):
            messages.append(going.result())
    return Outcome(
        going.code(),
        going.details(),
        tuple(sorted((m[0], m[1]) for m in going.trailing_metadata() or ())),
        tuple(messages),
    )
