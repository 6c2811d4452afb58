"""The messages of an asyncio RPC: iterators that show what fails, and a context that counts.

Those of the client are counted as gRPC makes them of bytes: `coding.read`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from grpc.aio import _server

from everylayer.chain import drop_frame
from everylayer.layers import Layer

from .call import Call, show

# What gRPC gives to a method that takes a stream; anything else is an interceptor's own.
FROM_GRPC: Any = getattr(getattr(_server, "cygrpc", None), "_MessageReceiver", None)


class AioRequests:
    """The client's messages on their way in; what fails here failed in `layer`."""

    __slots__ = ("_inner", "_layer", "_next")

    def __init__(self, inner: Any, layer: Layer) -> None:
        self._inner = inner
        self._layer = layer
        self._next: Callable[[], Awaitable[Any]] | None = None

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            following = self._next
            if following is None:
                following = self._next = self._inner.__aiter__().__anext__
            return await following()
        except StopAsyncIteration:
            raise
        except BaseException as exc:
            show(exc, self._layer, "request")
            drop_frame(exc)
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


# In none of these an interceptor's code runs that no seam has around it.
SEEN = (FROM_GRPC, AioRequests)


class CountingContext:
    """gRPC's context for a method that writes by it, rather than by an iterator."""

    __slots__ = ("_call", "_inner")

    def __init__(self, inner: Any, call: Call) -> None:
        self._inner = inner
        self._call = call

    async def write(self, message: Any) -> None:
        await self._inner.write(message)
        self._call.sent += 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
