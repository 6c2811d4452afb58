"""The last code counts, and an abort answers for an error: in threads and asyncio, by any layer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from concurrent import futures
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import pytest
from grpc import StatusCode, aio
from opentelemetry import trace
from opentelemetry.instrumentation import grpc as stock
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode as SpanStatus

import everylayer_grpc
from contract.telemetry import Telemetry, error_events, server_span, server_spans, session
from grpc_sync import changed

LAST = {
    "kept": StatusCode.INTERNAL,
    "lowered": StatusCode.NOT_FOUND,
    "cleared": StatusCode.OK,
    "other": StatusCode.UNAVAILABLE,
}
CODED = [*LAST, *(f"{name}_error" for name in LAST if name != "kept")]
ABORTED = {"own": StatusCode.UNAVAILABLE, "own_client": StatusCode.NOT_FOUND}
TWICE = "twice"
WORDED = "worded"
CASES = (*CODED, *ABORTED, TWICE, WORDED)
SHAPES = ("unary_unary", "unary_stream")
PLACES = ("inside", "around")
Seen = dict[tuple[str, str, str, str], tuple[StatusCode, tuple[ReadableSpan, ...]]]


def case_of(method: str) -> str:
    return method.rpartition("-")[2]


def coded(case: str, context: Any) -> bytes:
    """Answer as a servicer that fails by a code, and perhaps by an error too."""
    if case in (*CODED, WORDED):
        context.set_code(StatusCode.INTERNAL)
        context.set_details("of the servicer")
    if case == WORDED:
        trace.get_current_span().set_status(SpanStatus.ERROR, "in words of its own")
    if case.endswith("_error"):
        raise ValueError("of the servicer")
    return b"answer"


def last(case: str, context: Any) -> None:
    code = LAST.get(case.removesuffix("_error"), StatusCode.INTERNAL)
    if case == WORDED:
        code = StatusCode.NOT_FOUND
    if code is not StatusCode.INTERNAL:
        context.set_code(code)


def wrapped(case: str) -> Any:
    def wrap(inner: Any, gives_stream: bool) -> Any:
        def called(request: Any, context: Any) -> Any:
            if case in ABORTED:
                try:
                    raise LookupError("of its own")
                except LookupError:
                    context.abort(ABORTED[case], "no way")
            if case == TWICE:
                try:
                    context.abort(StatusCode.NOT_FOUND, "first")
                except Exception:
                    context.abort(StatusCode.UNAVAILABLE, "second")
            response = None
            with suppress(ValueError):
                made = inner(request, context)
                response = list(made) if gives_stream else made
            last(case, context)
            return response or ([b"instead"] if gives_stream else b"instead")

        def streamed(request: Any, context: Any) -> Any:
            yield from called(request, context)

        return streamed if gives_stream else called

    return wrap


class Answering(grpc.ServerInterceptor):
    def intercept_service(self, continuation: Any, details: Any) -> Any:
        return changed(continuation(details), wrapped(case_of(details.method)))


def aio_wrapped(case: str) -> Any:
    def wrap(inner: Any, gives_stream: bool) -> Any:
        async def called(request: Any, context: Any) -> Any:
            if case in ABORTED:
                try:
                    raise LookupError("of its own")
                except LookupError:
                    await context.abort(ABORTED[case], "no way")
            if case == TWICE:
                try:
                    await context.abort(StatusCode.NOT_FOUND, "first")
                except aio.AbortError:
                    await context.abort(StatusCode.UNAVAILABLE, "second")
            response: Any = None
            with suppress(ValueError):
                if gives_stream:
                    response = [message async for message in inner(request, context)]
                else:
                    response = await inner(request, context)
            last(case, context)
            return response or ([b"instead"] if gives_stream else b"instead")

        async def streamed(request: Any, context: Any) -> Any:
            for message in await called(request, context):
                yield message

        return streamed if gives_stream else called

    return wrap


class AioAnswering(aio.ServerInterceptor):
    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        return changed(await continuation(details), aio_wrapped(case_of(details.method)))


def handlers(kind: str) -> Any:
    def called(case: str) -> Any:
        async def aio_unary(request: Any, context: Any) -> bytes:
            return coded(case, context)

        return aio_unary if kind == "aio" else lambda request, context: coded(case, context)

    def streamed(case: str) -> Any:
        def stream(request: Any, context: Any) -> Iterator[bytes]:
            yield coded(case, context)

        async def aio_stream(request: Any, context: Any) -> AsyncIterator[bytes]:
            yield coded(case, context)

        return aio_stream if kind == "aio" else stream

    methods = {
        f"{shape}-{case}": getattr(grpc, f"{shape}_rpc_method_handler")(
            (called if shape == "unary_unary" else streamed)(case)
        )
        for shape in SHAPES
        for case in CASES
    }
    return (grpc.method_handlers_generic_handler("answers.S", methods),)


def chain(place: str, begins: Any, answering: Any, ours: Any) -> list[Any]:
    return [begins, answering, ours] if place == "inside" else [answering, begins, ours]


def taken(telemetry: Telemetry) -> tuple[ReadableSpan, ...]:
    spans = telemetry.wait(server_spans)
    telemetry.clear()
    return spans


def run_sync(telemetry: Telemetry, place: str, seen: Seen) -> None:
    begins: Any = stock.server_interceptor()  # type: ignore[no-untyped-call]
    layers = chain(place, begins, Answering(), everylayer_grpc.server_interceptor())
    server = grpc.server(futures.ThreadPoolExecutor(2), interceptors=layers)
    server.add_generic_rpc_handlers(handlers("sync"))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        for shape in SHAPES:
            for case in CASES:
                rpc: Any = getattr(channel, shape)(f"/answers.S/{shape}-{case}")
                going = rpc(b"", timeout=10) if shape == "unary_stream" else rpc.future(b"")
                with suppress(grpc.RpcError):
                    list(going if shape == "unary_stream" else [going.result()])
                seen["sync", place, shape, case] = going.code(), taken(telemetry)
    server.stop(None).wait(5)


@asynccontextmanager
async def aio_channel(place: str) -> AsyncIterator[aio.Channel]:
    begins: Any = stock.aio_server_interceptor()  # type: ignore[no-untyped-call]
    layers = chain(place, begins, AioAnswering(), everylayer_grpc.aio_server_interceptor())
    server = aio.server(interceptors=layers)
    server.add_generic_rpc_handlers(handlers("aio"))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(None)


async def run_aio(telemetry: Telemetry, place: str, seen: Seen) -> None:
    async with aio_channel(place) as channel:
        for shape in SHAPES:
            for case in CASES:
                rpc: Any = getattr(channel, shape)(f"/answers.S/{shape}-{case}")
                going = rpc(b"", timeout=10)
                with suppress(grpc.RpcError):
                    if shape == "unary_stream":
                        _ = [message async for message in going]
                    else:
                        await going
                found = await going.code(), await asyncio.to_thread(taken, telemetry)
                seen["aio", place, shape, case] = found


@pytest.fixture(scope="module")
def seen() -> Iterator[Seen]:
    logging.disable(logging.CRITICAL)
    found: Seen = {}
    with session() as telemetry:
        for place in PLACES:
            run_sync(telemetry, place, found)
            asyncio.run(run_aio(telemetry, place, found))
    yield found
    logging.disable(logging.NOTSET)


kinds = pytest.mark.parametrize("kind", ["sync", "aio"])
places = pytest.mark.parametrize("place", PLACES)
shapes = pytest.mark.parametrize("shape", SHAPES)


@pytest.mark.parametrize("case", CODED)
@shapes
@places
@kinds
def test_the_span_follows_the_code_that_the_client_got(
    seen: Seen, kind: str, place: str, shape: str, case: str
) -> None:
    code, spans = seen[kind, place, shape, case]
    assert code is LAST[case.removesuffix("_error")]
    span = server_span(spans)
    fails = code in (StatusCode.INTERNAL, StatusCode.UNAVAILABLE)
    assert span.status.status_code is (SpanStatus.ERROR if fails else SpanStatus.UNSET)
    if fails or case.endswith("_error") or place == "inside":
        assert (span.attributes or {})["rpc.grpc.status_code"] == code.value[0]
    events = error_events(spans)
    assert len(events) == case.endswith("_error")
    for found in events:
        handled = (found.event.attributes or {}).get("everylayer.handled", False)
        assert handled is not fails


@pytest.mark.parametrize("case", ABORTED)
@shapes
@places
@kinds
def test_an_abort_answers_for_an_error_of_the_interceptors_own(
    seen: Seen, kind: str, place: str, shape: str, case: str
) -> None:
    code, spans = seen[kind, place, shape, case]
    assert code is ABORTED[case]
    (found,) = error_events(spans)
    attributes = found.event.attributes or {}
    assert attributes["exception.type"] == "LookupError"
    assert attributes["exception.message"] == "of its own"
    assert str(attributes["everylayer.layer.name"]).endswith("Answering")
    fails = case == "own"
    assert attributes.get("everylayer.handled", False) is not fails
    status = server_span(spans).status.status_code
    assert status is (SpanStatus.ERROR if fails else SpanStatus.UNSET)


@shapes
@places
def test_an_abort_that_answers_for_an_abort_is_told_once(
    seen: Seen, place: str, shape: str
) -> None:
    code, spans = seen["sync", place, shape, TWICE]
    assert code is StatusCode.UNAVAILABLE
    (found,) = error_events(spans)
    assert (found.event.attributes or {})["exception.message"] == "UNAVAILABLE: second"


@shapes
@places
def test_under_asyncio_the_first_abort_is_the_answer(seen: Seen, place: str, shape: str) -> None:
    """gRPC has sent it, and refuses the second: that refusal is the error which is told."""
    code, spans = seen["aio", place, shape, TWICE]
    assert code is StatusCode.NOT_FOUND
    span = server_span(spans)
    assert span.status.status_code is SpanStatus.UNSET
    assert (span.attributes or {})["rpc.grpc.status_code"] == StatusCode.NOT_FOUND.value[0]
    (found,) = error_events(spans)
    attributes = found.event.attributes or {}
    assert str(attributes["exception.type"]).endswith("UsageError")
    assert str(attributes["everylayer.layer.name"]).endswith("Answering")
    assert attributes["everylayer.handled"] is True


@shapes
@places
@kinds
def test_what_the_app_says_of_its_span_stays(seen: Seen, kind: str, place: str, shape: str) -> None:
    code, spans = seen[kind, place, shape, WORDED]
    assert code is StatusCode.NOT_FOUND
    status = server_span(spans).status
    assert (status.status_code, status.description) == (SpanStatus.ERROR, "in words of its own")
