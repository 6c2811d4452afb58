"""The seams of an asyncio client: one interceptor for each kind of RPC."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import grpc
from grpc import aio
from opentelemetry import context as otel
from opentelemetry import trace

from everylayer import spans
from everylayer.chain import drop_frame
from everylayer.failsafe import contained
from everylayer.settings import Settings

from . import span
from .client_call import ClientCall, End, begin, carrying, in_stock
from .remote import listen

_PROVISIONAL = "Internal error from Core"
_PATIENCE = 50
_tasks: set[asyncio.Task[None]] = set()


class _Seam:
    def __init__(self, settings: Settings, *, begins: bool = True) -> None:
        """Begin no span, unless `begins`: only put the end of the RPC on that of stock."""
        listen(settings)
        self._settings = settings
        self._begins = begins

    async def _intercept(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        details = client_call_details
        method = details.method
        method = method.decode() if isinstance(method, bytes) else method
        if self._settings.enabled and in_stock():
            call = ClientCall(self._settings, method, trace.get_current_span(), own=False)
            return await _begun(continuation(details, request), call)
        own = begin(self._settings, method) if self._begins else None
        if own is None:
            return await continuation(details, request)
        within = trace.set_span_in_context(own.target)
        token = otel.attach(within)
        try:
            metadata = aio.Metadata(*carrying(details.metadata, within))
            sent = details._replace(metadata=metadata)
            return await _begun(continuation(sent, request), own)
        finally:
            spans.detach(token)


class UnaryUnary(_Seam, aio.UnaryUnaryClientInterceptor):
    """Begins the client span where stock does not, and puts the RPC's end on it."""

    intercept_unary_unary = _Seam._intercept


class UnaryStream(_Seam, aio.UnaryStreamClientInterceptor):
    """As `UnaryUnary`, for a stream of responses."""

    intercept_unary_stream = _Seam._intercept


class StreamUnary(_Seam, aio.StreamUnaryClientInterceptor):
    """As `UnaryUnary`, for a stream of requests."""

    intercept_stream_unary: Any = _Seam._intercept


class StreamStream(_Seam, aio.StreamStreamClientInterceptor):
    """As `UnaryUnary`, for streams both ways."""

    intercept_stream_stream: Any = _Seam._intercept


KINDS = (UnaryUnary, UnaryStream, StreamUnary, StreamStream)


async def _begun(coming: Any, call: ClientCall) -> Any:
    try:
        outcome = await coming
    except BaseException as exc:
        call.failed(exc, _end_of_error(exc))
        drop_frame(exc)
        call.finish()
        raise
    try:
        outcome.add_done_callback(lambda _: _done(outcome, call))
    except (AttributeError, NotImplementedError):
        # What an interceptor inside has made of the call cannot tell of its end.
        call.finish()
    return outcome


@contained
def _done(outcome: Any, call: ClientCall) -> None:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        loop = None
    if loop is None or not _is_provisional(outcome):
        _settle(outcome, call)
    elif not call.waiting:
        call.hold()
        task = loop.create_task(_settle_soon(outcome, call))
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)


def _is_provisional(outcome: Any) -> bool:
    """Tell whether the server's own status may still replace this one.

    It is what a client says that could not write to a server which had answered already.
    """
    return _now(outcome.code()) is grpc.StatusCode.INTERNAL and (
        _now(outcome.details()) == _PROVISIONAL
    )


async def _settle_soon(outcome: Any, call: ClientCall) -> None:
    try:
        for _ in range(_PATIENCE):
            if not _is_provisional(outcome):
                break
            await asyncio.sleep(0.002)
    finally:
        _settle(outcome, call)


@contained
def _settle(outcome: Any, call: ClientCall) -> None:
    if call.finished:
        return  # gRPC may tell of each status, the one that another replaces too.
    if call.waiting:
        span.forget_description(call.target, _PROVISIONAL)
    code = _now(outcome.code())
    if code is grpc.StatusCode.OK:
        if call.own:
            call.target.set_attributes({"rpc.status_code": "OK", "rpc.grpc.status_code": 0})
    else:
        end = End(
            code,
            _now(outcome.details()) or "",
            tuple(_now(outcome.trailing_metadata()) or ()),
            bool(outcome.cancelled()),
        )
        error = aio.AioRpcError(
            end.code, aio.Metadata(), aio.Metadata(*end.trailing), details=end.details
        )
        call.failed(error, end)
    call.finish()


def _now(coming: Coroutine[Any, Any, Any]) -> Any:
    """Return what a coroutine gives that has nothing left to wait for."""
    try:
        coming.send(None)
    except StopIteration as stop:
        return stop.value
    coming.close()
    raise RuntimeError("the call is not done")


@contained
def _end_of_error(exc: BaseException) -> End | None:
    if not isinstance(exc, aio.AioRpcError):
        return None
    return End(exc.code(), exc.details() or "", tuple(exc.trailing_metadata() or ()))
