"""The interceptors of a synchronous server, run by our own: gRPC's step is dearer than ours."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from everylayer.chain import drop_frame

from .call import Call, show
from .coding import handed_on, writing_unary
from .groups import Group
from .handlers import NAMED, Known, Probed
from .probes import probed_handler, spanned_handler, spanned_unary

new = tuple.__new__

# Gives the handler that one layer, and all inside it, make of an RPC.
Step = Callable[[Call, Any], Any]


def group_step(group: Group, inner: Step, around: Group) -> Step:
    """Return the step of a group of interceptors.

    Args:
        group: the interceptors.
        inner: the step of what is inside them.
        around: the interceptors around them.
    """
    if around.begins_span:
        return _step_in_span(group, inner, around)
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


def _step_in_span(group: Group, inner: Step, around: Group) -> Step:
    known = Known()
    writes = around.writes
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

    return step


def servicer_step(around: Group) -> Step:
    """Return the step of the servicer, whose handlers come again with each RPC."""
    known = Known()
    made = known.made  # Not by its method: each RPC comes here.

    def step(call: Call, details: Any) -> Any:
        try:
            handler = call.handler_of(details)  # type: ignore[misc]
        except BaseException as exc:
            show(exc, None, "intercept_service", call)
            drop_frame(exc)
            raise
        if handler is None:
            return None
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
