"""The seams of a synchronous server: around the whole pipeline, and inside each interceptor."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import GeneratorType
from typing import Any
from weakref import ref

import grpc
from opentelemetry import context as otel

from everylayer import spans
from everylayer.chain import drop_frame
from everylayer.settings import Settings

from .call import CURRENT, Call, show
from .coding import coded_unary, read, shown, writing
from .entered import entering_of, stand_in
from .groups import Group, Source, grouped
from .handlers import NAMED, Behavior, Probed, behavior_of, with_coding
from .naming import GRPC, is_stock, servicer
from .pipeline import Step, group_step, servicer_step
from .probes import spanned_handler
from .streams import counting, generated_to_the_end, last_responses

Continuation = Callable[[Any], Any]

new = tuple.__new__


def _nothing(following: Any, details: Any) -> Any:
    return None


class ServerSeam(grpc.ServerInterceptor):
    """The outermost seam: one ledger an RPC, from its first interceptor to its last message.

    Where it is not outermost it is what it can be: a seam around all that is inside it.

    Attributes:
        settings: the rules in force.
        others: the interceptors that it runs itself, outermost first.
        first: the interceptors right inside it; None where it runs none.
        intercept: the method of the outermost of them.
        within: those of the others, innermost first.
        inner: the step of what is inside them.
        alone: nothing inside it begins the server span.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.others: tuple[Any, ...] = ()
        self.first: Group | None = None
        self.intercept: Callable[..., Any] = _nothing
        self.within: tuple[Callable[..., Any], ...] = ()
        self.inner: Step = _nothing
        self.alone = True

    def intercept_service(self, continuation: Continuation, handler_call_details: Any) -> Any:
        if not self.settings.enabled:
            return continuation(handler_call_details)
        details = handler_call_details
        call = Call(self.settings, details.method, details.invocation_metadata or ())
        first = self.first
        try:
            if first is None:
                handler = continuation(details)
            else:
                call.handler_of = continuation
                following = partial(self.inner, call)
                for method in self.within:
                    following = partial(method, following)
                handler = self.intercept(following, details)
        except BaseException as exc:
            show(exc, first, "intercept_service", call)
            drop_frame(exc)
            call.finish(exc)
            raise
        if handler is None:
            call.unimplemented()
            return None
        if call.given is None or handler is call.given:
            return self._around(handler, call)
        if handler[4] is not None:
            return _unary_in_span(handler, call, first)
        call.streams = True
        return _stream_in_span(handler, handler[7] or handler[5], call, first)

    def _around(self, handler: Any, call: Call) -> Any:
        first = self.first
        if call.given is not None and first is not None:
            # Stock has been told to leave this RPC alone.
            handler = spanned_handler(handler, first, call.source)
            call.given = None
        if not self.alone and type(handler) is NAMED:
            if handler[4] is not None:
                return _unary_in_span(handler, call, first)
            streaming = handler[7] or handler[5]
            if streaming is not None and not getattr(streaming, "__dict__", None):
                return _stream_in_span(handler, streaming, call, first)
        return outermost(handler, call, first or servicer(behavior_of(handler)), self.alone)


def _unary_in_span(handler: Any, call: Call, first: Group | None) -> Any:
    """As `outermost`, for one message each way, in a span that is begun inside."""
    behavior = handler[4]

    def serve(request: Any, context: Any) -> Any:
        call.context = context
        CURRENT.set(call)  # For good: gRPC runs each RPC in a context of its own.
        try:
            response = behavior(request, context)
        except BaseException as exc:
            show(exc, first or servicer(behavior), "call", call)
            drop_frame(exc)
            call.finish(exc)
            raise
        call.rest()
        return response

    about = getattr(behavior, "__dict__", None)
    if about:
        vars(serve).update(about)
    return coded_unary(handler, serve, call)


def _stream_in_span(handler: Any, behavior: Behavior, call: Call, first: Group | None) -> Any:
    """As `_unary_in_span`, for a stream of responses."""
    takes_stream, deserializer, serializer = handler[0], handler[2], handler[3]

    def serve(request: Any, context: Any) -> Any:
        call.context = context
        CURRENT.set(call)
        if call.streams:
            if takes_stream:
                request = counting(request, GRPC, call)
            else:
                call.received = 1
        try:
            response = behavior(request, context)
        except BaseException as exc:
            show(exc, first or servicer(behavior), "call", call)
            drop_frame(exc)
            call.finish(exc)
            raise
        if type(response) is GeneratorType and call.page is None:
            made: Iterator[Any] = generated_to_the_end(response, first, behavior, call)
        else:
            made = last_responses(response, first or servicer(behavior), call, None)
        if serializer is not None:
            call.responses = ref(made)
        return made

    if deserializer is not None:
        deserializer = read(deserializer, call, ends=not takes_stream)
    if serializer is not None:
        serializer = shown(serializer, call)
    one, many = (None, serve) if takes_stream else (serve, None)
    fields = (takes_stream, True, deserializer, serializer, None, one, None, many)
    return new(Probed, fields)


def outermost(handler: Any, call: Call, layer: Source, alone: bool) -> Any:
    """Return a handler like `handler` with `call`, its ledger, from its start to its last message.

    Args:
        handler: what the interceptors have made.
        call: that of this one RPC.
        layer: whose errors come first to here.
        alone: nothing inside begins the server span.
    """
    takes_stream, gives_stream = handler.request_streaming, handler.response_streaming
    own = behavior = behavior_of(handler)
    serializer = handler.response_serializer
    if alone:
        behavior, serializer = writing(handler, own)

    def serve(request: Any, context: Any, *more: Any) -> Any:
        call.context = context
        token = CURRENT.set(call)
        within = call.begin() if alone else None
        entered = None if within is None else otel.attach(within)
        if within is not None:
            if takes_stream:
                request = counting(request, GRPC, call)
            else:
                call.received = 1
        try:
            response = behavior(request, context, *more)
        except BaseException as exc:
            show(exc, layer, "call")
            drop_frame(exc)
            call.finish(exc)
            raise
        finally:
            if entered is not None:
                spans.detach(entered)
            if not gives_stream:
                CURRENT.reset(token)
        if gives_stream and not more:
            made = last_responses(response, layer, call, within)
            if serializer is not None:
                call.responses = ref(made)
            return made
        call.sent = 1
        call.rest()
        return response

    deserializer = read(handler.request_deserializer, call, ends=not takes_stream)
    return with_coding(serve, own, handler, deserializer, shown(serializer, call))


def arranged(settings: Settings, others: Sequence[Any]) -> list[Any]:
    """Return what gRPC is to run in the place of the interceptors `others`."""
    made = ServerSeam(settings)
    made.others = tuple(others)
    made.alone = not any(map(is_stock, others))
    groups = grouped([*map(stand_in, others)])
    if groups:
        made.first = groups[0]
        made.intercept, *within = groups[0].methods
        made.within = tuple(reversed(within))
        entering = entering_of(groups[0])
        step = servicer_step(groups[-1], entering if len(groups) == 1 else None)
        for around, group in reversed([*itertools.pairwise(groups)]):
            step = group_step(group, step, around, entering if around is groups[0] else None)
        made.inner = step
    return [made]
