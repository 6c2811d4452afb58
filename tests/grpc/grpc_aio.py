"""As `grpc_sync`, for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import grpc
from grpc import aio

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
from grpc_sync import REQUESTS, changed, code_and_raise, factory


async def one(request: bytes) -> AsyncIterator[bytes]:
    yield request


def servicer(place: str) -> Callable[..., Any]:
    async def act(requests: Any, context: Any) -> AsyncIterator[bytes]:
        context.set_trailing_metadata((("kept", place),))
        if place == "servicer" or place in CONVERTED:
            fault_site(PLAIN)
        if place == "abort":
            await context.abort(grpc.StatusCode.UNAVAILABLE, "no way")
        if place == "not_found":
            await context.abort(grpc.StatusCode.NOT_FOUND, "no way")
        if place == "coded":
            code_and_raise(context)
        if place in ("cancel", "deadline"):
            yield b"begun"
            await asyncio.sleep(30)
        async for request in requests:
            yield b"re:" + request
            if place == "responses":
                fault_site(PLAIN)
            if place != "requests":
                _gates[place].open.set()

    return act


def behavior(shape: Shape, place: str) -> Callable[..., Any]:
    act = servicer(place)

    if shape.gives_stream:

        async def servicer_(request: Any, context: Any) -> Any:
            async for response in act(request if shape.takes_stream else one(request), context):
                yield response
    else:

        async def servicer_(request: Any, context: Any) -> Any:  # type: ignore[misc]
            requests = request if shape.takes_stream else one(request)
            return b",".join([response async for response in act(requests, context)])

    servicer_.__name__ = servicer_.__qualname__ = "servicer"
    return servicer_


def handlers() -> dict[str, Any]:
    return {
        f"{shape.name}-{place.name}": factory(shape)(behavior(shape, place.name))
        for shape, place in CASES
    }


class PassThrough(aio.ServerInterceptor):
    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        return await continuation(details)


def converting(place: str) -> Callable[[Any, bool], Any]:
    async def answer(context: Any) -> bytes:
        if place == "converted_abort":
            await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        if place in CODES:
            context.set_code(CODES[place])
        context.set_details("converted")
        return b"instead"

    def wrap(inner: Any, gives_stream: bool) -> Any:
        async def called(request: Any, context: Any) -> Any:
            try:
                return await inner(request, context)
            except ValueError:
                return await answer(context)

        async def streamed(request: Any, context: Any) -> Any:
            try:
                async for response in inner(request, context):
                    yield response
            except ValueError:
                yield await answer(context)

        return streamed if gives_stream else called

    return wrap


class Recovery(aio.ServerInterceptor):
    """Answers for what fails inside it, where the method's name asks for that."""

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        place = place_in(details.method)
        try:
            handler = await continuation(details)
        except ValueError:
            if place != "intercept_answered":
                raise
            return refusing(details.method)
        return changed(handler, converting(place)) if place in CONVERTED else handler


def refusing(method: str) -> Any:
    shape = method.rpartition("/")[2].partition("-")[0]

    async def refused(request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "refused")

    async def refused_stream(request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "refused")
        yield b""

    act = refused_stream if shape.endswith("stream") else refused
    return getattr(grpc, f"{shape}_rpc_method_handler")(act)


def raising(place: str) -> Callable[[Any, bool], Any]:
    async def enter(request: Any, context: Any) -> Any:
        if place == "before":
            fault_site(PLAIN)
        if place == "refused":
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no way")
        return failing(request) if place == "requests" else request

    def wrap(inner: Any, gives_stream: bool) -> Any:
        async def called(request: Any, context: Any) -> Any:
            response = await inner(await enter(request, context), context)
            if place == "after":
                fault_site(PLAIN)
            return response

        async def streamed(request: Any, context: Any) -> Any:
            async for response in inner(await enter(request, context), context):
                yield response
            if place == "after":
                fault_site(PLAIN)

        return streamed if gives_stream else called

    return wrap


class Raiser(aio.ServerInterceptor):
    """Fails where the method's name asks for that."""

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        place = place_in(details.method)
        if place in ("intercept", "intercept_answered"):
            fault_site(PLAIN)
        handler = await continuation(details)
        return changed(handler, raising(place)) if place in RAISED else handler


async def failing(requests: Any) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request
        fault_site(PLAIN)


@contextlib.asynccontextmanager
async def serving(
    interceptors: Sequence[Any], credentials: grpc.ServerCredentials | None = None
) -> AsyncIterator[str]:
    """Give the address of a server on the loopback."""
    server = aio.server(interceptors=interceptors)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("corpus.S", handlers()),))
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


# Places that a server gets to by reading requests. Elsewhere none is sent: an early answer that
# crosses a request shows the client either the answer or that it could not write, as it happens.
READ = ("ok", "after", "requests", "responses")


async def silence() -> AsyncIterator[bytes]:
    await asyncio.sleep(30)
    yield b""


class Gate:
    """Lets the client send its next request once the server has dealt with the last one.

    Both are in one event loop.
    """

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def requests(self) -> AsyncIterator[bytes]:
        for request in REQUESTS:
            yield request
            await self.open.wait()
            self.open.clear()


_gates: dict[str, Gate] = {}


async def call(channel: aio.Channel, shape: Shape, place: Place) -> Outcome:
    """Send one RPC; return all that its client sees of it."""
    rpc: Any = getattr(channel, shape.name)(method_of(shape, place))
    gate = _gates[place.name] = Gate()
    request: Any = REQUESTS[0]
    if shape.takes_stream:
        request = gate.requests() if place.name in READ else silence()
    going = rpc(request, timeout=TIMEOUT if place.name == "deadline" else 10)
    messages = []
    if shape.gives_stream:
        with contextlib.suppress(grpc.RpcError, asyncio.CancelledError):
            async for message in going:
                messages.append(message)
                if place.name == "cancel":
                    going.cancel()
    else:
        if place.name == "cancel":
            await asyncio.sleep(0.05)
            going.cancel()
        with contextlib.suppress(grpc.RpcError, asyncio.CancelledError):
            messages.append(await going)
    return Outcome(
        await going.code(),
        await going.details(),
        tuple(sorted((m[0], m[1]) for m in await going.trailing_metadata() or ())),
        tuple(messages),
    )
