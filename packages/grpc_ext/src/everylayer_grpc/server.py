"""The seams of a synchronous server: around the whole pipeline, and inside each interceptor.

One of gRPC's interceptors runs all of the app's: a step of our own is cheaper than one of gRPC's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import grpc
from opentelemetry import context as otel
from opentelemetry.context import get_current

from everylayer import spans
from everylayer.chain import drop_frame
from everylayer.layers import Layer
from everylayer.observer import observe
from everylayer.settings import Settings

from .call import CURRENT, Call, show
from .handlers import Behavior, Known, Probed, behavior_of, with_behavior
from .naming import GRPC, is_stock, named, servicer
from .streams import SEEN, Requests, counting, last_responses, responses, spanned_responses

Continuation = Callable[[Any], Any]


# Gives the handler that one layer, and all inside it, make of an RPC.
Step = Callable[[Call, Any], Any]


def interceptor_step(
    intercept: Callable[..., Any], inner: Step, inside: Layer, layer: Layer, of_span: bool
) -> Step:
    """Return the step of an interceptor.

    Args:
        intercept: its method.
        inner: the step of what is inside it.
        inside: the layer around it, which may have put its own iterator around the requests.
        layer: the interceptor.
        of_span: the layer around it begins the server span.
    """
    wrap = spanned_handler if of_span else probed_handler

    def step(call: Call, details: Any) -> Any:
        try:
            handler = intercept(partial(inner, call), details)
        except BaseException as exc:
            observe(exc, layer, "intercept_service", ledger=call)
            drop_frame(exc)
            raise
        return None if handler is None else wrap(handler, inside, layer)

    return step


def outermost_step(intercept: Callable[..., Any], inner: Step) -> Step:
    """Return the step of the first interceptor, around which the seam itself stands."""

    def step(call: Call, details: Any) -> Any:
        return intercept(partial(inner, call), details)

    return step


def servicer_step(inside: Layer, of_span: bool) -> Step:
    """Return the step of the servicer, whose handlers come again with each RPC."""
    wrap = spanned_handler if of_span else probed_handler
    known = Known()

    def step(call: Call, details: Any) -> Any:
        try:
            handler = call.handler_of(details)  # type: ignore[misc]
        except BaseException as exc:
            observe(exc, None, "intercept_service", ledger=call)
            drop_frame(exc)
            raise
        if handler is None:
            return None
        return known.get(handler) or known.keep(handler, wrap(handler, inside, None))

    return step


def probed_handler(handler: Any, inside: Layer, around: Layer | None) -> Any:
    """Return a handler like `handler`; `around` is whose errors come first to it, None: its own."""
    if type(handler) is Probed:
        return handler  # The layer has handed on what it got: nothing of it will run.
    behavior = behavior_of(handler)
    layer = around or servicer(behavior)
    takes_stream, gives_stream = handler.request_streaming, handler.response_streaming
    return with_behavior(
        handler, probed(behavior, inside, layer, takes_stream, gives_stream), behavior
    )


def spanned_handler(handler: Any, inside: Layer, around: Layer | None) -> Any:
    """As `probed_handler`, right inside the layer that begins the server span."""
    behavior = behavior_of(handler)
    layer = around or servicer(behavior)
    takes_stream, gives_stream = handler.request_streaming, handler.response_streaming
    return with_behavior(
        handler, spanned(behavior, inside, layer, takes_stream, gives_stream), behavior
    )


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


def spanned(
    behavior: Behavior, inside: Layer, layer: Layer, takes_stream: bool, gives_stream: bool
) -> Behavior:
    """Return `behavior`, which runs right inside the layer that begins the server span."""

    def unary(request: Any, context: Any) -> Any:
        known = CURRENT.get()
        if known is None:
            return behavior(request, context)
        known.within = get_current()
        try:
            response = behavior(request, context)
        except BaseException as exc:
            show(exc, layer, "call")
            known.received = 1
            known.leave_span(exc)
            drop_frame(exc)
            raise
        if known.left_alone():
            known.received = known.sent = 1
            known.leave_span()
        return response

    def call(request: Any, context: Any, *more: Any) -> Any:
        known = CURRENT.get()
        if known is None:
            return behavior(request, context, *more)
        known.within = get_current()
        if takes_stream:
            request = counting(request, inside, known)
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
            return spanned_responses(response, layer, known)
        known.sent = 1
        known.leave_span()
        return response

    return call if takes_stream or gives_stream else unary


class ServerSeam(grpc.ServerInterceptor):
    """The outermost seam: one ledger an RPC, from its first interceptor to its last message.

    Where it is not outermost it is what it can be: a seam around all that is inside it.

    Attributes:
        settings: the rules in force.
        inner: the step of the interceptors inside it; None leaves them to gRPC.
        first: the interceptor right inside it; None is the servicer.
        alone: nothing inside it begins the server span.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.inner: Step | None = None
        self.first: Layer | None = None
        self.alone = True

    def intercept_service(self, continuation: Continuation, handler_call_details: Any) -> Any:
        if not self.settings.enabled:
            return continuation(handler_call_details)
        details = handler_call_details
        call = Call(self.settings, details.method, details.invocation_metadata or ())
        inner = self.inner
        try:
            if inner is None:
                handler = continuation(details)
            else:
                call.handler_of = continuation
                handler = inner(call, details)
        except BaseException as exc:
            observe(exc, self.first, "intercept_service", ledger=call)
            drop_frame(exc)
            call.finish(exc)
            raise
        if handler is None:
            call.unimplemented()
            return None
        behavior = behavior_of(handler)
        layer = self.first or servicer(behavior)
        if self.alone or handler.request_streaming or handler.response_streaming:
            serve = outermost(behavior, handler, call, layer, self.alone)
        else:
            serve = outermost_unary(behavior, call, layer)
        return with_behavior(handler, serve, behavior)


def outermost_unary(behavior: Behavior, call: Call, layer: Layer) -> Behavior:
    """As `outermost`, for one message each way, in a span that is begun inside."""

    def serve(request: Any, context: Any) -> Any:
        call.context = context
        token = CURRENT.set(call)
        try:
            response = behavior(request, context)
        except BaseException as exc:
            show(exc, layer, "call")
            drop_frame(exc)
            call.finish(exc)
            raise
        finally:
            CURRENT.reset(token)
        call.rest()
        return response

    return serve


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
            return last_responses(response, layer, call, within)
        call.sent = 1
        call.rest()
        return response

    return serve


def arranged(settings: Settings, others: Sequence[Any]) -> list[Any]:
    """Return what gRPC is to run in the place of the interceptors `others`."""
    made = ServerSeam(settings)
    made.alone = not any(map(is_stock, others))
    layers = named(others)
    if layers:
        made.first = layers[0]
        step = servicer_step(layers[-1], is_stock(others[-1]))
        for at in range(len(others) - 1, 0, -1):
            own, around = layers[at], layers[at - 1]
            step = interceptor_step(
                others[at].intercept_service, step, around, own, is_stock(others[at - 1])
            )
        made.inner = outermost_step(others[0].intercept_service, step)
    return [made]
