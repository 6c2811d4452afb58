"""What an audit puts outside all interceptors of an app's own: a layer that deals with errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
from grpc import aio

from everylayer.audit.injected import Translated
from everylayer.audit.model import Shape

from ..handlers import _FACTORIES, Kind, behavior_of, kind_of

Answer = Callable[[Exception], Any]
# What a swallowed error is answered with: an empty message, which is one of any type.
SWALLOWED = object()


def shaping(shape: Shape, *, is_aio: bool) -> list[Any]:
    """Return the interceptor that `shape` asks for, none for `raised`."""
    if shape == "raised":
        return []
    answer = _swallow if shape == "swallowed" else _translate
    return [AioShaping(answer) if is_aio else Shaping(answer)]


def _swallow(error: Exception) -> Any:
    return SWALLOWED


def _translate(error: Exception) -> Any:
    if isinstance(error, Translated):
        raise error
    raise Translated(f"translated from {type(error).__name__}") from error


class Shaping(grpc.ServerInterceptor):
    """Deals with any Exception as it is told."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        try:
            handler = continuation(handler_call_details)
        except Exception as error:  # noqa: BLE001 - that is what it is for
            self._answer(error)
            return grpc.stream_stream_rpc_method_handler(_answered, None, _serializer(None))
        return None if handler is None else _around(handler, self._answer)


class AioShaping(aio.ServerInterceptor):
    """The same for asyncio."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        try:
            handler = await continuation(handler_call_details)
        except Exception as error:  # noqa: BLE001 - that is what it is for
            self._answer(error)
            return grpc.stream_stream_rpc_method_handler(_answered_async, None, _serializer(None))
        return None if handler is None else _around(handler, self._answer)


def _answered(request: Any, context: Any) -> Any:
    yield SWALLOWED


async def _answered_async(request: Any, context: Any) -> Any:
    yield SWALLOWED


def _serializer(own: Callable[[Any], bytes] | None) -> Callable[[Any], bytes]:
    def serialize(message: Any) -> bytes:
        if message is SWALLOWED:
            return b""
        return message if own is None else own(message)

    return serialize


def _around(handler: Any, answer: Answer) -> Any:
    behavior = behavior_of(handler)
    gives_stream = bool(handler.response_streaming)
    make = _FACTORIES[bool(handler.request_streaming), gives_stream]
    kind = kind_of(behavior)
    if kind is Kind.PLAIN:
        wrap = _streamed if gives_stream else _called
    elif kind is Kind.COROUTINE:
        wrap = _written if gives_stream else _awaited
    else:
        wrap = _generated
    return make(
        wrap(behavior, answer),
        handler.request_deserializer,
        _serializer(handler.response_serializer),
    )


def _called(behavior: Any, answer: Answer) -> Any:
    def shaped(request: Any, context: Any) -> Any:
        try:
            return behavior(request, context)
        except Exception as error:  # noqa: BLE001 - that is what it is for
            return answer(error)

    return shaped


def _streamed(behavior: Any, answer: Answer) -> Any:
    def shaped(request: Any, context: Any) -> Any:
        try:
            yield from behavior(request, context)
        except Exception as error:  # noqa: BLE001 - that is what it is for
            yield answer(error)

    return shaped


def _awaited(behavior: Any, answer: Answer) -> Any:
    async def shaped(request: Any, context: Any) -> Any:
        try:
            return await behavior(request, context)
        except Exception as error:  # noqa: BLE001 - that is what it is for
            return answer(error)

    return shaped


def _written(behavior: Any, answer: Answer) -> Any:
    async def shaped(request: Any, context: Any) -> None:
        try:
            await behavior(request, context)
        except Exception as error:  # noqa: BLE001 - that is what it is for
            await context.write(answer(error))

    return shaped


def _generated(behavior: Any, answer: Answer) -> Any:
    async def shaped(request: Any, context: Any) -> Any:
        try:
            async for message in behavior(request, context):
                yield message
        except Exception as error:  # noqa: BLE001 - that is what it is for
            yield answer(error)

    return shaped
