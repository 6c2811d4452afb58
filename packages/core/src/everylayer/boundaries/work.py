"""What failed in work that a request has started, shown to that request."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from types import FrameType
from typing import Any, ParamSpec, TypeVar

from opentelemetry import trace
from opentelemetry.trace import INVALID_SPAN, Span

from .. import chain, settings, spans
from ..failsafe import contained
from ..layers import WORK, Layer, frame_name, name_of
from ..loose import ledger_for
from ..policy import is_departure

P = ParamSpec("P")
R = TypeVar("R")

# Whose frames stand between the start of some work and the work itself.
_STARTERS = (
    "threading.",
    "concurrent.futures.",
    "asyncio.",
    "everylayer.",
    "opentelemetry.",
    "anyio.",
)


@contained
def failed(exc: BaseException, span: Span, layer: Layer | None, phase: str) -> None:
    """Show `exc` to the request whose span is `span`; cancelled work is no error.

    Args:
        exc: what the work raised. Whether anybody deals with it shows in the response.
        span: the span in which the work was started.
        layer: what to call the work; None lets the traceback tell.
        phase: what kind of work it is.
    """
    if span is INVALID_SPAN or is_departure(exc):
        return
    # A span of the app's own has no response. What leaves it, it records itself: that is an ERROR.
    handled = None if spans.is_server(span) or spans.ended(span) else True
    ledger_for(span, settings.current()).see(exc, layer=layer, phase=phase, handled=handled)


@contained
def failed_in(
    context: contextvars.Context, exc: BaseException, layer: Layer | None, phase: str
) -> None:
    """Show `exc` to the request whose context `context` is: its span, its tenant, its secrets."""

    def show() -> None:
        failed(exc, trace.get_current_span(), layer, phase)

    # A copy: this one may be in use by now.
    context.copy().run(show)


@contained
def forgotten(exc: BaseException, span: Span, phase: str) -> None:
    """Show an exception that nobody will ever ask for: no response says what it means.

    It is an ERROR of its own, on a late child span, unless its request has recorded it already.
    """
    if span is INVALID_SPAN or is_departure(exc):
        return
    ledger = ledger_for(span, settings.current())
    ledger.see(exc, layer=starting(exc), phase=phase, handled=False)
    sighting = ledger.sighting_of(exc)
    if sighting is not None and not sighting.written:
        sighting.late = True


def run(
    context: contextvars.Context,
    phase: str,
    fn: Callable[P, R],
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> R:
    """Call `fn` in `context`, and show what it raises to the request that has it."""
    try:
        return context.run(fn, *args, **kwargs)
    except BaseException as exc:
        failed_in(context, exc, called(fn), phase)
        chain.drop_frame(exc)
        raise


def span_in(context: contextvars.Context) -> Span:
    """Return the current span of `context`, in which this thread need not be."""
    return context.copy().run(trace.get_current_span)


@contained
def called(target: Any) -> Layer:
    """Return what to call `target`, a callable."""
    return Layer(name_of(target), WORK)


@contained
def in_frame(frame: FrameType) -> Layer:
    """Return what to call the function that `frame` runs."""
    return Layer(frame_name(frame), WORK)


@contained
def starting(exc: BaseException) -> Layer | None:
    """Return what to call the outermost function of the work: below it is what has started it."""
    frame = outermost(exc)
    return in_frame(frame) if frame is not None else None


def outermost(exc: BaseException) -> FrameType | None:
    """Return the frame of the outermost function of the work that raised `exc`."""
    tb = chain.traceback_of(exc)
    while tb is not None:
        frame: FrameType = tb.tb_frame
        if not f"{frame.f_globals.get('__name__')}.".startswith(_STARTERS):
            return frame
        tb = tb.tb_next
    return None
