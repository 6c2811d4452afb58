"""The interceptors of a synchronous server, run by our own: gRPC's step is dearer than ours."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from everylayer.chain import drop_frame
from everylayer.layers import Layer

from .call import Call, show
from .groups import Group
from .handlers import NAMED, Known, Probed
from .probes import probed_handler, spanned_handler, spanned_unary

new = tuple.__new__

# Gives the handler that one layer, and all inside it, make of an RPC.
Step = Callable[[Call, Any], Any]


def group_step(group: Group, inner: Step, inside: Layer, of_span: bool) -> Step:
    """Return the step of a group of interceptors.

    Args:
        group: the interceptors.
        inner: the step of what is inside them.
        inside: the layer around them, which may have put its own iterator around the requests.
        of_span: the layer around them begins the server span.
    """
    if of_span:
        return _step_in_span(group, inner, inside)
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


def _step_in_span(group: Group, inner: Step, inside: Layer) -> Step:
    known = Known()
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
                return known.get(raw) or known.keep(raw, spanned_handler(raw, inside, None))
            return None if handler is None else spanned_handler(handler, inside, group)
        behavior = handler[4]
        unary = spanned_unary(behavior, group)
        about = getattr(behavior, "__dict__", None)
        if about:
            vars(unary).update(about)
        return new(Probed, (False, False, handler[2], handler[3], unary, None, None, None))

    return step


def servicer_step(inside: Layer, of_span: bool) -> Step:
    """Return the step of the servicer, whose handlers come again with each RPC."""
    wrap = spanned_handler if of_span else probed_handler
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
        found = known.keep(handler, wrap(handler, inside, None))
        if type(found) is Probed:
            found.raw = handler
        return found

    return step
