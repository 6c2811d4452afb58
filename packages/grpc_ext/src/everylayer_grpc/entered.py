"""Stock's server span is made current by two nested generators: here by one object without any.

What starts a span is the SDK's own, and so is what becomes of an exception that leaves the block.
"""

from __future__ import annotations

import copy
import sys
from types import FunctionType, TracebackType
from typing import Any

from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.trace import Span

from everylayer import fit
from everylayer.failsafe import contained

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

    def __enter__(self) -> Span:
        # Held here, so that nothing of it is freed while the context is being set.
        self._within = within = otel.set_value(KEY, self._span)
        self._token = otel.attach(within)
        return self._span

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> bool | None:
        otel.detach(self._token)
        if kind is None:
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


class Entering:
    """A tracer whose spans are entered so, as long as it is the SDK's own."""

    __slots__ = ("_known", "_tracer")

    def __init__(self, tracer: Any) -> None:
        self._tracer = tracer
        self._known: Any = None

    def start_as_current_span(self, name: str, *rest: Any, **named: Any) -> Any:
        tracer = self._known
        if tracer is None:
            tracer = self._known = _of_sdk(self._tracer)
        if tracer is None or rest or "end_on_exit" in named:
            return self._tracer.start_as_current_span(name, *rest, **named)
        return Entered(tracer.start_span(name, **named), named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tracer, name)


def stand_in(interceptor: Any) -> Any:
    """Return what runs in the place of `interceptor`: itself, unless it is stock's own."""
    found = _entering(interceptor) if is_stocks_own(interceptor) else None
    return interceptor if found is None else found


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
