"""The messages of a synchronous RPC, as iterators that show what fails in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from opentelemetry import context as otel
from opentelemetry.context import Context

from everylayer import spans
from everylayer.chain import drop_frame
from everylayer.layers import Layer

from .call import CURRENT, Call, show


class Requests:
    """The client's messages on their way in; what fails here failed in `layer`."""

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


class Responses:
    """The servicer's messages on their way out; what fails here failed in `layer`."""

    __slots__ = ("_inner", "_layer")

    def __init__(self, inner: Any, layer: Layer | None) -> None:
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


class SpannedResponses(Responses):
    """Tells the span that another layer has begun, and is about to end, how the stream went."""

    __slots__ = ("_call", "_done")

    def __init__(self, inner: Any, layer: Layer | None, call: Call) -> None:
        super().__init__(inner, layer)
        self._call = call
        self._done = False

    def __next__(self) -> Any:
        try:
            return next(self._inner)
        except BaseException as exc:
            if type(exc) is StopIteration:
                self._tell()
            else:
                show(exc, self._layer, "response")
                self._tell(exc)
            drop_frame(exc)
            raise

    def close(self) -> None:
        """Close what is inside; the span ends with the layer around it."""
        self._tell(GeneratorExit())
        inner = getattr(self._inner, "close", None)
        if inner is not None:
            inner()

    def __del__(self) -> None:
        if not self._done:
            self._tell(GeneratorExit())

    def _tell(self, exc: BaseException | None = None) -> None:
        if not self._done:
            self._done = True
            self._call.leave_span(exc)


class LastResponses(Responses):
    """The responses as gRPC takes them: their end is the end of the RPC."""

    __slots__ = ("_call", "_within")

    def __init__(self, inner: Any, layer: Layer | None, call: Call, within: Context | None) -> None:
        """Run each step in the context `within`, that of a span of ours, if there is one."""
        super().__init__(inner, layer)
        self._call = call
        self._within = within

    def __next__(self) -> Any:
        call = self._call
        if CURRENT.get() is not call:
            CURRENT.set(call)  # Another thread; else it is there for as long as the RPC's context.
        try:
            message = next(self._inner) if self._within is None else self._step(self._within)
        except StopIteration:
            call.finish()
            raise
        except BaseException as exc:
            show(exc, self._layer, "response")
            drop_frame(exc)
            call.finish(exc)
            raise
        call.sent += 1
        return message

    def _step(self, within: Context) -> Any:
        entered = otel.attach(within)
        try:
            return next(self._inner)
        except BaseException as exc:
            drop_frame(exc)
            raise
        finally:
            spans.detach(entered)

    def __del__(self) -> None:
        # gRPC drops it where the client has gone; what is inside goes first, and may still fail.
        call = self._call
        if not call.finished:
            self._abandon(call)

    def _abandon(self, call: Call) -> None:
        token = CURRENT.set(call)
        entered = None if self._within is None else otel.attach(self._within)
        try:
            self._inner = None
            call.finish(GeneratorExit())
        finally:
            if entered is not None:
                spans.detach(entered)
            CURRENT.reset(token)
