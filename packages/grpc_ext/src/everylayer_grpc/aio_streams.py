"""The messages of an asyncio RPC: iterators and contexts that count, and show what fails."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from grpc.aio import EOF

from everylayer.chain import drop_frame
from everylayer.layers import Layer

from .call import Call, show


class AioRequests:
    """The client's messages on their way in; what fails here failed in `layer`."""

    __slots__ = ("_call", "_inner", "_layer", "_next")

    def __init__(self, inner: Any, layer: Layer, call: Call | None = None) -> None:
        """Count the messages for `call`, if one is given."""
        self._inner = inner
        self._layer = layer
        self._call = call
        self._next: Callable[[], Awaitable[Any]] | None = None

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            following = self._next
            if following is None:
                following = self._next = self._inner.__aiter__().__anext__
            message = await following()
        except StopAsyncIteration:
            raise
        except BaseException as exc:
            show(exc, self._layer, "request")
            drop_frame(exc)
            raise
        call = self._call
        if call is not None:
            call.received += 1
        return message

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class CountingContext:
    """gRPC's context for a method that reads and writes by it, rather than by iterators."""

    __slots__ = ("_call", "_inner")

    def __init__(self, inner: Any, call: Call) -> None:
        self._inner = inner
        self._call = call

    async def read(self) -> Any:
        message = await self._inner.read()
        if message is not EOF:
            self._call.received += 1
        return message

    async def write(self, message: Any) -> None:
        await self._inner.write(message)
        self._call.sent += 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
