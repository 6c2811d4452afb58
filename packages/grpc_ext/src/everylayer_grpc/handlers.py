"""Method handlers: which function one holds, and one like it that holds another."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import grpc

Behavior = Callable[..., Any]

_FACTORIES: dict[tuple[bool, bool], Callable[..., Any]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}
# What all of them make, a named tuple: its own constructor costs a sixth of theirs.
_FIELDS = (
    *("request_streaming", "response_streaming"),
    *("request_deserializer", "response_serializer"),
    *("unary_unary", "unary_stream", "stream_unary", "stream_stream"),
)
_made: Any = type(grpc.unary_unary_rpc_method_handler(print))
NAMED: Any = _made if getattr(_made, "_fields", ()) == _FIELDS else None


if NAMED is None:
    Probed: Any = None
else:

    class Probed(NAMED):  # type: ignore[no-redef,misc]
        """A handler of ours: an interceptor that hands it on as it is has nothing to be seen.

        One that comes again with each RPC has the attribute `raw`: what it was made of.
        """

        __slots__ = ()

        @classmethod
        def _make(cls, fields: Iterable[Any]) -> Any:
            return NAMED._make(fields)  # What `_replace` makes of it is not ours any more.


def behavior_of(handler: Any) -> Behavior:
    """Return the one function that `handler` holds."""
    if handler.request_streaming:
        found = handler.stream_stream if handler.response_streaming else handler.stream_unary
    else:
        found = handler.unary_stream if handler.response_streaming else handler.unary_unary
    return found  # type: ignore[no-any-return]


def with_behavior(handler: Any, behavior: Behavior, own: Behavior) -> Any:
    """Return a handler like `handler` that runs `behavior` in the place of `own`."""
    return with_coding(
        behavior, own, handler, handler.request_deserializer, handler.response_serializer
    )


def with_coding(
    behavior: Behavior, own: Behavior, handler: Any, deserializer: Any, serializer: Any
) -> Any:
    """As `with_behavior`, with its own coding of messages.

    It is a `Probed` handler unless gRPC makes them in a way that is not known here.
    """
    # gRPC asks the function itself for the pool to run in, and whether it answers by callback.
    about = getattr(own, "__dict__", None)
    if about:
        vars(behavior).update(about)
    takes_stream, gives_stream = bool(handler.request_streaming), bool(handler.response_streaming)
    if Probed is None:
        make = _FACTORIES[takes_stream, gives_stream]
        return make(behavior, deserializer, serializer)
    # One literal: unpacking and joining would cost as much again.
    streams = 2 * takes_stream + gives_stream
    return tuple.__new__(
        Probed,
        (
            takes_stream,
            gives_stream,
            deserializer,
            serializer,
            behavior if streams == 0 else None,
            behavior if streams == 1 else None,
            behavior if streams == 2 else None,
            behavior if streams == 3 else None,
        ),
    )


class Known:
    """What was made of handlers that come again with each RPC, by the handler itself.

    It keeps a handler alive, whose address is then no other's; bounded, for apps that make new
    ones for each RPC.

    Attributes:
        made: by the address of a handler, that and what was made of it.
    """

    __slots__ = ("made",)

    _SIZE = 512

    def __init__(self) -> None:
        self.made: dict[int, tuple[Any, Any]] = {}

    def get(self, handler: Any) -> Any:
        """Return what was kept for this very handler, None if nothing was."""
        found = self.made.get(id(handler))
        return None if found is None else found[1]

    def keep(self, handler: Any, made: Any) -> Any:
        """Keep `made`, and return it."""
        if len(self.made) < self._SIZE:
            self.made[id(handler)] = (handler, made)
        return made


class Plain(NamedTuple):
    """A handler that stock gets as it is: its span is the seam around it.

    Attributes:
        handler: what stock gets; it may be the servicer's own.
        source: whose errors come first to that span.
    """

    handler: Any
    source: Any


_GENERATOR = inspect.CO_ASYNC_GENERATOR
_COROUTINE = inspect.CO_COROUTINE
_MARK = "_is_coroutine_mark"  # What `inspect.markcoroutinefunction` leaves on a plain function.


class Kind(enum.Enum):
    """What a behavior is to gRPC, and to whoever wraps it."""

    PLAIN = "plain"
    COROUTINE = "coroutine"
    GENERATOR = "generator"


def kind_of(behavior: Behavior) -> Kind:
    """Return the kind of a behavior of an asyncio server, as gRPC tells them apart."""
    code = getattr(behavior, "__code__", None)
    if code is not None:
        flags = code.co_flags
        if flags & _GENERATOR:
            return Kind.GENERATOR
        if flags & _COROUTINE:
            return Kind.COROUTINE
        if not hasattr(behavior, _MARK):
            return Kind.PLAIN
    if inspect.isasyncgenfunction(behavior):
        return Kind.GENERATOR
    if inspect.iscoroutinefunction(behavior) or inspect.isawaitable(behavior):
        return Kind.COROUTINE
    return Kind.PLAIN
