"""The messages of a synchronous RPC, as iterators that show what fails in them."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from types import GeneratorType
from typing import Any

from opentelemetry import context as otel
from opentelemetry.context import Context

from everylayer import spans
from everylayer.chain import drop_frame
from everylayer.layers import Layer

from .call import CURRENT, Call, show
from .counted import FROM_GRPC, Counted
from .groups import Source
from .naming import servicer


class Requests:
    """The messages as an interceptor hands them on; what fails here failed in `layer`."""

    __slots__ = ("_call", "_inner", "_iterator", "_layer")

    def __init__(self, inner: Any, layer: Layer, call: Call | None = None) -> None:
        """Count the messages for `call`, if one is given."""
        self._inner = inner
        self._layer = layer
        self._call = call
        self._iterator: Iterator[Any] | None = None

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            if self._iterator is None:
                self._iterator = iter(self._inner)
            message = next(self._iterator)
        except StopIteration:
            raise
        except BaseException as exc:
            show(exc, self._layer, "request")
            drop_frame(exc)
            raise
        if self._call is not None:
            self._call.received += 1
        return message

    next = __next__  # gRPC's own iterator has it.

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


# In none of these an interceptor's code runs that no seam has around it.
SEEN = (FROM_GRPC, Counted, Requests)


def counting(requests: Any, layer: Layer, call: Call) -> Any:
    """Return `requests`, counted for `call`; what fails in an interceptor's failed in `layer`."""
    if type(requests) is not FROM_GRPC:
        return Requests(requests, layer, call)
    call.numbers = itertools.count(1)
    return Counted(requests, call.numbers)


def responses(inner: Any, layer: Source | None) -> Any:
    """Return the messages on their way out; what fails in them failed in `layer`."""
    return _generated(inner, layer) if type(inner) is GeneratorType else Responses(inner, layer)


def _generated(inner: Any, layer: Source | None) -> Generator[Any, Any, Any]:
    try:
        return (yield from inner)
    except BaseException as exc:
        show(exc, layer, "response")
        drop_frame(exc)
        raise


class Responses:
    """Messages from an iterator that is no generator, and may be more than an iterator."""

    __slots__ = ("_inner", "_layer")

    def __init__(self, inner: Any, layer: Source | None) -> None:
        self._inner = inner
        self._layer = layer

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._inner)
        except StopIteration:
            raise
        except BaseException as exc:
            show(exc, self._layer, "response")
            drop_frame(exc)
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def last_responses(
    inner: Any, layer: Source | None, call: Call, within: Context | None
) -> Iterator[Any]:
    """Return the responses as gRPC takes them: their end is the end of the RPC.

    Each step runs in the context `within`, that of a span of ours, if there is one.
    """
    made = _to_the_end(inner, layer, call, within)
    next(made)  # Else nothing would be settled where gRPC drops it before it takes a message.
    return made


def _to_the_end(
    inner: Any, layer: Source | None, call: Call, within: Context | None
) -> Generator[Any, None, None]:
    try:
        yield
        while True:
            if CURRENT.get() is not call:
                CURRENT.set(call)  # Another thread; else it is there as long as the RPC's context.
            message = next(inner) if within is None else _step(inner, within)
            call.sent += 1
            yield message
    except StopIteration:
        call.rest()
    except GeneratorExit as exc:
        _abandon(inner, layer, call, within, exc)
        raise
    except BaseException as exc:
        show(exc, layer, "response")
        drop_frame(exc)
        call.finish(exc)
        raise


def generated_to_the_end(
    inner: Generator[Any, Any, Any], first: Source | None, behavior: Any, call: Call
) -> Generator[Any, None, None]:
    """As `last_responses`, of a generator that nothing has been seen of.

    Nothing need be settled where gRPC drops it before it takes a message: nothing has begun.

    Args:
        inner: the responses.
        first: whose errors come first to here, None: those of `behavior`.
        behavior: what gave the responses.
        call: the RPC.
    """
    try:
        for message in inner:
            call.sent += 1
            yield message
    except GeneratorExit as exc:
        _abandon(inner, first or servicer(behavior), call, None, exc)
        raise
    except BaseException as exc:
        show(exc, first or servicer(behavior), "response")
        drop_frame(exc)
        call.finish(exc)
        raise
    call.rest()


def _step(inner: Any, within: Context) -> Any:
    entered = otel.attach(within)
    try:
        return next(inner)
    except BaseException as exc:
        drop_frame(exc)
        raise
    finally:
        spans.detach(entered)


def _abandon(
    inner: Any, layer: Source | None, call: Call, within: Context | None, gone: GeneratorExit
) -> None:
    """Settle an RPC whose client has gone; what is inside goes first, and may still fail."""
    token = CURRENT.set(call)
    entered = None if within is None else otel.attach(within)
    try:
        close = getattr(inner, "close", None)
        if close is not None:
            close()
    except BaseException as exc:
        show(exc, layer, "response")
        drop_frame(exc)
        raise
    finally:
        call.finish(gone)
        if entered is not None:
            spans.detach(entered)
        CURRENT.reset(token)
