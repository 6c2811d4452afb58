"""Stock's server span is made current by two nested generators: here by one object without any.

What starts a span is the SDK's own, and so is what becomes of an exception that leaves the block.
Being the last that runs in that span, it is a seam too: none stands around what stock calls then.
"""

from __future__ import annotations

import copy
import sys
from types import FunctionType, TracebackType
from typing import Any

from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.trace import Span

from everylayer import fit, spans
from everylayer.failsafe import contained
from everylayer.layers import Layer

from .call import CURRENT, Call, show
from .groups import Group
from .naming import is_stocks_own
from .span import KEY

_KNOWN = (
    "self name context kind attributes links start_time record_exception set_status_on_exception"
    " end_on_exit"
)
_DECORATOR = "opentelemetry.util._decorator"


class Entered:
    """A span that is current within a block, and ends with it.

    Args:
        span: the span.
        named: what it was started with, by name.
    """

    __slots__ = ("_named", "_span", "_token", "_within")

    def __init__(self, span: Span, named: dict[str, Any]) -> None:
        self._span = span
        self._named = named

    def __enter__(self) -> Any:
        # Held here, so that nothing of it is freed while the context is being set.
        self._within = within = otel.set_value(KEY, self._span)
        self._token = otel.attach(within)
        return self._span

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> bool | None:
        otel.detach(self._token)
        if exc is None:
            self._span.end()
            return None
        named = self._named
        usual: Any = trace.use_span(
            self._span,
            end_on_exit=True,
            record_exception=named.get("record_exception", True),
            set_status_on_exception=named.get("set_status_on_exception", True),
        )
        usual.__enter__()
        return bool(usual.__exit__(kind, exc, tb))


class Seam(Entered):
    """As `Entered`, and the seam right inside the layer that has begun the span of an RPC.

    To that layer it stands for the span: what is recorded there is shown to the RPC first.
    """

    __slots__ = ("_call",)

    def __init__(self, span: Span, named: dict[str, Any], call: Call) -> None:
        self._span = span
        self._named = named
        self._call = call

    def __enter__(self) -> Any:
        self._call.within = self._within = within = otel.set_value(KEY, self._span)
        self._token = otel.attach(within)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> bool | None:
        call, span = self._call, self._span
        if exc is not None:
            show_left(exc, call)
            if call.streams:
                call.leave_span(exc)
            else:
                call.leave_unary(exc)
            return super().__exit__(kind, exc, tb)
        if call.streams:
            call.streamed()
        elif call.spoken():
            call.leave_unary()
        otel.detach(self._token)
        span.end()
        return None

    def record_exception(self, exception: BaseException, *args: Any, **named: Any) -> None:
        show_left(exception, self._call)
        if spans.guard_of(self._span) is None:
            self._span.record_exception(exception, *args, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._span, name)


def show_left(exc: BaseException, call: Call) -> None:
    """Show what has left all that is inside stock's layer."""
    source = call.source
    layer = layer_inside(source, exc) if isinstance(source, Group) else source
    show(exc, layer, "response" if call.streams else "call", call)


@contained
def layer_inside(group: Group, exc: BaseException) -> Layer:
    return group.layer_inside(exc)


class Entering:
    """A tracer whose spans are entered so, as long as it is the SDK's own.

    Attributes:
        known: the SDK's tracer, None as long as none has been found.
    """

    __slots__ = ("_tracer", "known")

    def __init__(self, tracer: Any) -> None:
        self._tracer = tracer
        self.known: Any = None

    def ready(self) -> bool:
        """Tell whether spans are entered so from now on: each may be a seam."""
        if self.known is None:
            self.known = _of_sdk(self._tracer)
        return self.known is not None

    def start_as_current_span(self, name: str, *rest: Any, **named: Any) -> Any:
        tracer = self.known
        if (tracer is None and not self.ready()) or rest or "end_on_exit" in named:
            return self._tracer.start_as_current_span(name, *rest, **named)
        span = self.known.start_span(name, **named)
        call = CURRENT.get()
        if call is None or call.given is None:
            return Entered(span, named)
        return Seam(span, named, call)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tracer, name)


def stand_in(interceptor: Any) -> Any:
    """Return what runs in the place of `interceptor`: itself, unless it is stock's own."""
    found = _entering(interceptor) if is_stocks_own(interceptor) else None
    return interceptor if found is None else found


def entering_of(group: Group) -> Entering | None:
    """Return the tracer of `group` if that is stock's own interceptor, and nothing around it."""
    found = getattr(group.innermost, "_tracer", None) if group.writes else None
    return found if type(found) is Entering else None


@contained
def _entering(interceptor: Any) -> Any:
    """Return a copy: whoever made it may have it in other servers, or ask it for its tracer."""
    made = copy.copy(interceptor)
    made._tracer = Entering(interceptor._tracer)
    return made


@contained
def _of_sdk(tracer: Any) -> Any:
    """Return the SDK's tracer that `tracer` is, or stands for; None if it is another's.

    So it is as long as there is no provider, and where the SDK's own way has been replaced.
    """
    real = getattr(tracer, "_tracer", None) if type(tracer) is trace.ProxyTracer else tracer
    own = getattr(sys.modules.get("opentelemetry.sdk.trace"), "Tracer", None)
    way: Any = getattr(type(real), "start_as_current_span", None)
    if own is None or type(real) is not own or "start_as_current_span" in vars(real):
        return None
    if type(way) is not FunctionType or way.__globals__.get("__name__") != _DECORATOR:
        return None
    return real if fit.takes(way, _KNOWN) else None
