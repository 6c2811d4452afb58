"""What stands around one behavior of a synchronous server, of the same kind as it."""

from __future__ import annotations

from itertools import count
from typing import Any

from opentelemetry.context import get_current

from everylayer.chain import drop_frame
from everylayer.layers import Layer

from .call import CURRENT, show
from .coding import writing
from .counted import FROM_GRPC, Counted
from .groups import Group, Source
from .handlers import Behavior, Probed, behavior_of, with_behavior, with_coding
from .naming import servicer
from .streams import SEEN, Requests, counting, responses


def probed_handler(handler: Any, inside: Layer, around: Source | None) -> Any:
    """Return a handler like `handler`; `around` is whose errors come first to it, None: its own."""
    if type(handler) is Probed:
        return handler  # The layer has handed on what it got: nothing of it will run.
    behavior = behavior_of(handler)
    layer = around or servicer(behavior)
    takes_stream, gives_stream = handler.request_streaming, handler.response_streaming
    return with_behavior(
        handler, probed(behavior, inside, layer, takes_stream, gives_stream), behavior
    )


def spanned_handler(handler: Any, outer: Group, around: Source | None) -> Any:
    """As `probed_handler`, right inside `outer`, which begins the server span."""
    behavior = behavior_of(handler)
    layer = around or servicer(behavior)
    takes_stream, gives_stream = handler.request_streaming, handler.response_streaming
    giving, serializer = behavior, handler.response_serializer
    if outer.writes:
        giving, serializer = writing(handler, behavior)
    made = spanned(giving, outer.last, layer, takes_stream, gives_stream)
    return with_coding(made, behavior, handler, handler.request_deserializer, serializer)


def probed(
    behavior: Behavior, inside: Layer, layer: Source, takes_stream: bool, gives_stream: bool
) -> Behavior:
    """Return `behavior`, which shows what fails in it or in the requests that it reads."""
    if not (takes_stream or gives_stream):

        def unary(request: Any, context: Any) -> Any:
            try:
                return behavior(request, context)
            except BaseException as exc:
                show(exc, layer, "call")
                drop_frame(exc)
                raise

        return unary

    def call(request: Any, context: Any, *more: Any) -> Any:
        if takes_stream and type(request) not in SEEN:
            request = Requests(request, inside)
        try:
            response = behavior(request, context, *more)
        except BaseException as exc:
            show(exc, layer, "call")
            drop_frame(exc)
            raise
        return responses(response, layer) if gives_stream and not more else response

    return call


def spanned_unary(behavior: Behavior, layer: Source) -> Behavior:
    """As `spanned`, for one message each way."""

    def unary(request: Any, context: Any) -> Any:
        known = CURRENT.get()
        if known is None:
            return behavior(request, context)
        known.within = get_current()
        try:
            response = behavior(request, context)
        except BaseException as exc:
            show(exc, layer, "call")
            known.leave_unary(exc)
            drop_frame(exc)
            raise
        if known.spoken():
            known.leave_unary()
        return response

    return unary


def spanned(
    behavior: Behavior, inside: Layer, layer: Source, takes_stream: bool, gives_stream: bool
) -> Behavior:
    """Return `behavior`, which runs right inside the layer that begins the server span."""
    if gives_stream:
        return _spanned_stream(behavior, inside, layer, takes_stream)
    if not takes_stream:
        return spanned_unary(behavior, layer)

    def call(request: Any, context: Any) -> Any:
        known = CURRENT.get()
        if known is None:
            return behavior(request, context)
        known.within = get_current()
        request = counting(request, inside, known)
        try:
            response = behavior(request, context)
        except BaseException as exc:
            show(exc, layer, "call")
            known.leave_span(exc)
            drop_frame(exc)
            raise
        known.sent = 1
        known.streamed()
        return response

    return call


def _spanned_stream(
    behavior: Behavior, inside: Layer, layer: Source, takes_stream: bool
) -> Behavior:
    def stream(request: Any, context: Any) -> Any:
        known = CURRENT.get()
        if known is None:
            return (yield from behavior(request, context))
        known.within = get_current()
        if not takes_stream:
            known.received = 1
        elif type(request) is FROM_GRPC:
            known.numbers = numbers = count(1)
            request = Counted(request, numbers)
        else:
            request = counting(request, inside, known)
        phase = "call"
        try:
            responses = behavior(request, context)
            phase = "response"
            result = yield from responses
        except BaseException as exc:
            show(exc, layer, phase)
            known.leave_span(exc)
            drop_frame(exc)
            raise
        known.streamed()
        return result

    return stream
