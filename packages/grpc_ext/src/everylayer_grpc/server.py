"""The seams of a synchronous server: around the whole pipeline, and inside each interceptor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
from opentelemetry import context as otel
from opentelemetry import trace

from everylayer import spans
from everylayer.chain import drop_frame
from everylayer.layers import Layer
from everylayer.settings import Settings

from .call import CURRENT, Call, show
from .handlers import Behavior, Known, behavior_of, with_behavior
from .naming import GRPC, servicer
from .streams import LastResponses, Requests, Responses, SpannedResponses

Continuation = Callable[[Any], Any]


class Probe(grpc.ServerInterceptor):
    """Stands inside one interceptor and around the next layer.

    Args:
        inside: the layer it stands in, which may have put its own iterator around the requests.
        around: the layer whose errors come first to it; None for the servicer.
        of_span: the layer it stands in begins the server span.
    """

    def __init__(self, inside: Layer, around: Layer | None, of_span: bool = False) -> None:
        self._inside = inside
        self._around = around
        self._of_span = of_span
        self._known = Known()

    def intercept_service(self, continuation: Continuation, handler_call_details: Any) -> Any:
        try:
            handler = continuation(handler_call_details)
        except BaseException as exc:
            show(exc, self._around, "intercept_service")
            drop_frame(exc)
            raise
        if handler is None:
            return None
        # The servicer's handlers come again with each RPC, those of interceptors do not.
        return (self._around is None and self._known.get(handler)) or self._wrapped(handler)

    def _wrapped(self, handler: Any) -> Any:
        behavior = behavior_of(handler)
        if was_probed(behavior) and not self._of_span:
            return handler  # The layer has handed on what it got: nothing of it will run.
        layer = self._around or servicer(behavior)
        wrap = spanned if self._of_span else probed
        made = with_behavior(
            handler,
            wrap(
                behavior,
                self._inside,
                layer,
                bool(handler.request_streaming),
                bool(handler.response_streaming),
            ),
            behavior,
        )
        return self._known.keep(handler, made) if self._around is None else made


def probed(
    behavior: Behavior, inside: Layer, layer: Layer, takes_stream: bool, gives_stream: bool
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
        if takes_stream and type(request) is not Requests:
            request = Requests(request, inside)
        try:
            response = behavior(request, context, *more)
        except BaseException as exc:
            show(exc, layer, "call")
            drop_frame(exc)
            raise
        return Responses(response, layer) if gives_stream and not more else response

    return call


_UNARY = probed(print, GRPC, GRPC, False, False).__code__
_STREAMS = probed(print, GRPC, GRPC, True, True).__code__


def was_probed(behavior: Behavior) -> bool:
    """Tell whether `behavior` is one of these already."""
    code = getattr(behavior, "__code__", None)
    return code is _UNARY or code is _STREAMS


def spanned(
    behavior: Behavior, inside: Layer, layer: Layer, takes_stream: bool, gives_stream: bool
) -> Behavior:
    """Return `behavior`, which runs right inside the layer that begins the server span."""

    def call(request: Any, context: Any, *more: Any) -> Any:
        known = CURRENT.get()
        if known is None:
            return behavior(request, context, *more)
        known.enter_span(trace.get_current_span())
        if takes_stream:
            request = Requests(request, inside, known)
        else:
            known.received = 1
        try:
            response = behavior(request, context, *more)
        except BaseException as exc:
            show(exc, layer, "call")
            known.leave_span(exc)
            drop_frame(exc)
            raise
        if gives_stream and not more:
            return SpannedResponses(response, layer, known)
        known.sent = 1
        if takes_stream or known.left_alone():
            known.leave_span()
        return response

    return call


class ServerSeam(grpc.ServerInterceptor):
    """The outermost seam: one ledger an RPC, from its first interceptor to its last message.

    Where it is not outermost it is what it can be: a seam around all that is inside it.

    Attributes:
        settings: the rules in force.
        first: the interceptor right inside it; None is the servicer.
        alone: nothing inside it begins the server span.
        sole: nothing but gRPC is around it.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.first: Layer | None = None
        self.alone = True
        self.sole = False

    def intercept_service(self, continuation: Continuation, handler_call_details: Any) -> Any:
        if not self.settings.enabled:
            return continuation(handler_call_details)
        details = handler_call_details
        call = Call(self.settings, details.method, details.invocation_metadata or ())
        token = CURRENT.set(call)
        try:
            handler = continuation(details)
        except BaseException as exc:
            show(exc, self.first, "intercept_service")
            drop_frame(exc)
            call.finish(exc)
            raise
        finally:
            CURRENT.reset(token)
        if handler is None:
            call.unimplemented()
            return None
        behavior = behavior_of(handler)
        layer = self.first or servicer(behavior)
        serve = outermost(behavior, handler, call, layer, self.alone)
        return with_behavior(handler, serve, behavior)


def outermost(behavior: Behavior, handler: Any, call: Call, layer: Layer, alone: bool) -> Behavior:
    """Return `behavior` with `call`, its ledger, from its start to its last message.

    Args:
        behavior: the function that `handler` holds.
        handler: tells what it takes and gives.
        call: that of this one RPC.
        layer: whose errors come first to here.
        alone: nothing inside begins the server span.
    """
    takes_stream, gives_stream = handler.request_streaming, handler.response_streaming

    def serve(request: Any, context: Any, *more: Any) -> Any:
        call.context = context
        token = CURRENT.set(call)
        within = call.begin() if alone else None
        entered = None if within is None else otel.attach(within)
        if within is not None:
            if takes_stream:
                request = Requests(request, GRPC, call)
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
            return LastResponses(response, layer, call, within)
        call.sent = 1
        call.finish()
        return response

    return serve
