"""The interceptors of a synchronous server, run by our own: gRPC's step is dearer than ours."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import isgeneratorfunction
from typing import Any

from everylayer.chain import drop_frame

from .call import Call, show
from .coding import handed_on, writing, writing_unary
from .entered import Entering
from .groups import Group
from .handlers import NAMED, Known, Plain, Probed, behavior_of, with_coding
from .naming import servicer
from .probes import probed_handler, spanned_handler, spanned_unary

new = tuple.__new__

# Gives the handler that one layer, and all inside it, make of an RPC.
Step = Callable[[Call, Any], Any]


def group_step(group: Group, inner: Step, around: Group, entering: Entering | None) -> Step:
    """Return the step of a group of interceptors.

    Args:
        group: the interceptors.
        inner: the step of what is inside them.
        around: the interceptors around them.
        entering: what may make a seam of the span that these begin.
    """
    if around.begins_span:
        return _step_in_span(group, inner, around, entering)
    inside = around.last  # It may have put its own iterator around the requests.
    intercept, *within = group.methods
    within.reverse()

    def step(call: Call, details: Any) -> Any:
        following = partial(inner, call)
        for method in within:
            following = partial(method, following)
        try:
            handler = intercept(following, details)
        except BaseException as exc:
            show(exc, group, "intercept_service", call)
            drop_frame(exc)
            raise
        if type(handler) is not NAMED or handler[4] is None:
            return None if handler is None else probed_handler(handler, inside, group)
        # As that does it, at once: nearly all handlers that are made for one RPC are of this kind.
        behavior = handler[4]

        def unary(request: Any, context: Any) -> Any:
            try:
                return behavior(request, context)
            except BaseException as exc:
                show(exc, group, "call")
                drop_frame(exc)
                raise

        about = getattr(behavior, "__dict__", None)
        if about:
            vars(unary).update(about)
        return new(Probed, (False, False, handler[2], handler[3], unary, None, None, None))

    return step


def _step_in_span(group: Group, inner: Step, around: Group, entering: Entering | None) -> Step:
    plain = Known()
    spanned = _spanned(group, around)
    intercept, *within = group.methods
    within.reverse()

    def step(call: Call, details: Any) -> Any:
        following = partial(inner, call)
        for method in within:
            following = partial(method, following)
        try:
            handler = intercept(following, details)
        except BaseException as exc:
            show(exc, group, "intercept_service", call)
            drop_frame(exc)
            raise
        if entering is None or (entering.known is None and not entering.ready()):
            return spanned(handler)
        if type(handler) is NAMED and handler[4] is not None:
            call.given, call.source = _writing(handler), group
            return call.given
        raw = getattr(handler, "raw", None) if type(handler) is Probed else None
        if raw is not None:  # The servicer's, untouched.
            found = plain.get(raw) or plain.keep(raw, as_given(raw))
            if found.handler is not None:
                call.given, call.source = found
                return call.given
        return spanned(handler)

    return step


def _writing(handler: Any) -> Any:
    """Return `handler`, of one message each way, which gives bytes."""
    serializer = handler[3]
    if serializer is None:
        return handler
    write = writing_unary(handler[4], serializer)
    return new(Probed, (False, False, handler[2], handed_on, write, None, None, None))


def _spanned(group: Group, around: Group) -> Callable[[Any], Any]:
    """Return what makes the handler right inside `around` of what `group` gives."""
    known = Known()
    writes = around.writes

    def spanned(handler: Any) -> Any:
        if type(handler) is not NAMED or handler[4] is None:
            if type(handler) is Probed and hasattr(handler, "raw"):  # The servicer's, untouched.
                raw = handler.raw
                return known.get(raw) or known.keep(raw, spanned_handler(raw, around, None))
            return None if handler is None else spanned_handler(handler, around, group)
        behavior, serializer = handler[4], handler[3]
        about = getattr(behavior, "__dict__", None)
        if serializer is not None and writes:
            behavior, serializer = writing_unary(behavior, serializer), handed_on
        unary = spanned_unary(behavior, group)
        if about:
            vars(unary).update(about)
        return new(Probed, (False, False, handler[2], serializer, unary, None, None, None))

    return spanned


def as_given(handler: Any) -> Plain:
    """Return the servicer's `handler` as stock gets it where its span is the seam around it.

    That seam cannot tell a call from what it returned: there is no such handler for these.
    """
    behavior = behavior_of(handler)
    source = servicer(behavior)
    takes_stream, gives_stream = handler.request_streaming, handler.response_streaming
    if type(handler) is not NAMED or (takes_stream and not gives_stream):
        return Plain(None, source)
    if gives_stream and not isgeneratorfunction(behavior):
        return Plain(None, source)
    write, serializer = writing(handler, behavior)
    if write is behavior:
        return Plain(handler, source)
    return Plain(
        with_coding(write, behavior, handler, handler.request_deserializer, serializer), source
    )


def servicer_step(around: Group, entering: Entering | None) -> Step:
    """Return the step of the servicer, whose handlers come again with each RPC."""
    known, plain = Known(), Known()
    made, given = known.made, plain.made  # Not by their methods: each RPC comes here.

    def step(call: Call, details: Any) -> Any:
        try:
            handler = call.handler_of(details)
        except BaseException as exc:
            show(exc, None, "intercept_service", call)
            drop_frame(exc)
            raise
        if handler is None:
            return None
        if entering is not None and (entering.known is not None or entering.ready()):
            kept = given.get(id(handler))
            as_it_is = kept[1] if kept is not None else plain.keep(handler, as_given(handler))
            if as_it_is.handler is not None:
                call.given, call.source = as_it_is
                return call.given
        kept = made.get(id(handler))
        if kept is not None:
            return kept[1]
        if around.begins_span:
            found = known.keep(handler, spanned_handler(handler, around, None))
        else:
            found = known.keep(handler, probed_handler(handler, around.last, None))
        if type(found) is Probed:
            found.raw = handler
        return found

    return step
