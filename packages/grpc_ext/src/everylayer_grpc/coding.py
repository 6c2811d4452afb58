"""What makes messages of bytes and bytes of messages: gRPC calls it outside of all interceptors.

A response is made bytes of before gRPC asks, while the server span is still open. What fails there
travels outwards in the place of the bytes, and is raised when gRPC asks: it answers as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from grpc import StatusCode

from everylayer.chain import drop_frame
from everylayer.layers import Layer, name_of

from .call import CURRENT, Call, show
from .handlers import Behavior, Kind, Probed, kind_of

new = tuple.__new__

Coder = Callable[[Any], Any]


class Unwritten:
    """Stands for a response that its serializer has failed for."""

    __slots__ = ("call", "error")

    def __init__(self, error: Exception, call: Call | None) -> None:
        self.error = error
        self.call = call


def layer_of(coder: Coder) -> Layer:
    """Return the layer that a serializer or a deserializer is."""
    return Layer(name_of(coder), "handler")


def written(serializer: Coder, message: Any, call: Call | None) -> Any:
    """Return the bytes of `message` for `handed_on`, or what stands for them."""
    try:
        return serializer(message)
    except Exception as exc:
        if call is not None:
            call.refused_as = call.code() or call.uncoded
            show(exc, layer_of(serializer), "serialize", call)
        drop_frame(exc)
        return Unwritten(exc, call)


def handed_on(message: Any) -> Any:
    """Return the bytes that `written` has made, as a serializer."""
    if type(message) is Unwritten:
        if message.call is not None:
            message.call.abandon()
        raise message.error
    return message


def writing(
    handler: Any, behavior: Behavior, *, asynchronous: bool = False
) -> tuple[Behavior, Any]:
    """Return `behavior`, of `handler`, which gives bytes, and the serializer for these.

    Both are what they were where nothing is serialized, or the method itself hands on its messages.
    """
    serializer = handler.response_serializer
    kind = kind_of(behavior) if asynchronous else Kind.PLAIN
    streams = bool(handler.response_streaming)
    if serializer is None or serializer is handed_on:
        return behavior, serializer
    wrap = _WRITING.get((kind, streams))
    return (behavior, serializer) if wrap is None else (wrap(behavior, serializer), handed_on)


def writing_unary(behavior: Behavior, serializer: Coder) -> Behavior:
    """As `writing`, for one response of a plain function."""

    def write(request: Any, context: Any) -> Any:
        try:
            message = behavior(request, context)
        except BaseException as exc:
            drop_frame(exc)
            raise
        return written(serializer, message, CURRENT.get())

    return write


def _streaming(behavior: Behavior, serializer: Coder) -> Behavior:
    def write(request: Any, context: Any, *more: Any) -> Any:
        responses = behavior(request, context, *more)
        return responses if more else _written(responses, serializer)

    return write


def _written(responses: Any, serializer: Coder) -> Iterator[Any]:
    call = CURRENT.get()
    try:
        for message in responses:
            yield written(serializer, message, call)
    except BaseException as exc:
        close = getattr(responses, "close", None)
        if close is not None:
            close()
        drop_frame(exc)
        raise


def _awaited(behavior: Behavior, serializer: Coder) -> Behavior:
    async def write(request: Any, context: Any) -> Any:
        try:
            message = await behavior(request, context)
        except BaseException as exc:
            drop_frame(exc)
            raise
        call = CURRENT.get()
        if call is not None and call.code() not in (None, StatusCode.OK):
            return message  # Nobody will ask for its bytes.
        return written(serializer, message, call)

    return write


def _generated(behavior: Behavior, serializer: Coder) -> Behavior:
    async def write(request: Any, context: Any) -> Any:
        call = CURRENT.get()
        responses = behavior(request, context)
        try:
            async for message in responses:
                yield written(serializer, message, call)
        except BaseException as exc:
            drop_frame(exc)
            await responses.aclose()
            raise

    return write


_WRITING: dict[tuple[Kind, bool], Callable[[Behavior, Coder], Behavior]] = {
    (Kind.PLAIN, False): writing_unary,
    (Kind.PLAIN, True): _streaming,
    (Kind.COROUTINE, False): _awaited,
    (Kind.GENERATOR, True): _generated,
}


def shown(serializer: Coder | None, call: Call) -> Coder | None:
    """Return `serializer`, which shows what it raises: for who calls it outside of the span."""
    if serializer is None or serializer is handed_on:
        return serializer

    def serialize(message: Any) -> Any:
        try:
            return serializer(message)
        except BaseException as exc:
            show(exc, layer_of(serializer), "serialize", call)
            if call.responses is not None:
                call.refused_as = call.code() or call.uncoded
                call.abandon()
            drop_frame(exc)
            raise

    return serialize


def read(deserializer: Coder | None, call: Call, *, ends: bool) -> Coder | None:
    """Return `deserializer`, which shows what it raises.

    Args:
        deserializer: the one that gRPC was to call.
        call: the RPC.
        ends: nothing of the RPC runs after an error: it had but one message, and no start.
    """
    if deserializer is None:
        return None

    def deserialize(data: bytes) -> Any:
        try:
            return deserializer(data)
        except BaseException as exc:
            _unread(exc, deserializer, call, ends)
            raise

    return deserialize


def read_each(deserializer: Coder | None, call: Call) -> Coder:
    """As `read`, for a stream whose messages it counts."""
    if deserializer is None:

        def count(data: bytes) -> bytes:
            call.received += 1
            return data

        return count

    def deserialize(data: bytes) -> Any:
        try:
            message = deserializer(data)
        except BaseException as exc:
            _unread(exc, deserializer, call, False)
            raise
        call.received += 1
        return message

    return deserialize


def _unread(exc: BaseException, deserializer: Coder, call: Call, ends: bool) -> None:
    if ends or call.refuses_requests:
        call.refused_as = call.code() or call.uncoded
    show(exc, layer_of(deserializer), "deserialize", call)
    drop_frame(exc)
    if ends:
        call.finish(exc)


def coded_unary(handler: Any, behavior: Behavior, call: Call) -> Any:
    """Return `handler`, one of gRPC's for one message each way, which runs `behavior`."""
    deserializer, serializer = handler[2], handler[3]
    if deserializer is not None:
        deserializer = read(deserializer, call, ends=True)
    if serializer is not None:
        serializer = shown(serializer, call)
    return new(Probed, (False, False, deserializer, serializer, behavior, None, None, None))
