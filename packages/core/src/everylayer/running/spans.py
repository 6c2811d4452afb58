"""The span that somebody else's thread or task works in, found without its help.

A thread's context variables can be read by that thread alone, and a request must not pay for
being found. But whoever starts a span, or runs code in a context, holds it in a local variable
while it waits for the outcome.
"""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Iterator
from types import BuiltinMethodType, FrameType
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span

from ..ledger import Ledger
from ..spans import ended

# No request is deeper; a recursion is.
_MAX_FRAMES = 5_000
_MAX_VALUES = 512

# Whose frames hold a context or a span while others work in it, and what they call it.
_HOLDERS = ("anyio", "asgiref", "asyncio", "concurrent", "everylayer", "opentelemetry")
_IN_HOLDERS = frozenset(
    {"context", "ctx", "current_span", "environ", "func", "ledger", "own", "request", "scope"}
    | {"self", "span"}
)
# What any layer of the app may hold.
_IN_OTHERS = frozenset({"environ", "request", "scope", "span"})
# Where our own objects keep a span, and asyncio's handles their context.
_ATTRIBUTES = ("span", "_span", "ledger", "_ledger", "environ", "_environ", "_context")


def of_context(context: contextvars.Context) -> Span | None:
    """Return the current span of `context`, in which another thread may be running."""
    return _valid(context.copy().run(trace.get_current_span))


def of_stack(frames: list[FrameType]) -> Span | None:
    """Return the innermost span that `frames` hold, given from the innermost outwards.

    One that has not ended is preferred. Where those who are known to hold one do not, the app's
    own frames are asked: before 3.13 that keeps their variables alive until they return.
    """
    held = [frame for frame in frames if _is_holder(frame)]
    found = _best(value for frame in held for value in _values(frame, _IN_HOLDERS))
    if found is None or ended(found):
        others = (frame for frame in frames if not _is_holder(frame))
        found = _best(v for frame in others for v in _values(frame, _IN_OTHERS)) or found
    return found


def outwards(frame: FrameType | None) -> Iterator[FrameType]:
    """Yield `frame` and its callers, as many as are worth a look."""
    for _ in range(_MAX_FRAMES):
        if frame is None:
            return
        yield frame
        frame = frame.f_back


def module_of(frame: FrameType) -> str:
    """Return the name of the module whose code runs in `frame`."""
    name = frame.f_globals.get("__name__")
    return name if type(name) is str else ""


def _is_holder(frame: FrameType) -> bool:
    return module_of(frame).startswith(_HOLDERS)


def _values(frame: FrameType, names: frozenset[str]) -> Iterator[Any]:
    # What exports spans holds those of others.
    if module_of(frame).startswith("opentelemetry.sdk"):
        return
    code = frame.f_code
    known = names.intersection((*code.co_varnames, *code.co_cellvars, *code.co_freevars))
    if known:
        found = frame.f_locals
        yield from [found[name] for name in sorted(known) if name in found]


def _best(values: Iterator[Any]) -> Span | None:
    over = None
    for value in values:
        for span in _spans_in(value, 3):
            if not ended(span):
                return span
            over = over or span
    return over


def _spans_in(value: Any, depth: int) -> Iterator[Span]:
    """Yield the valid spans that `value` is, or leads to within `depth` steps."""
    cls = type(value)
    found: Span | None = None
    if issubclass(cls, Span):
        found = value
    elif issubclass(cls, Ledger):
        around = value.within or value.around
        found = value.span or (trace.get_current_span(around) if around is not None else None)
    elif issubclass(cls, contextvars.Context):
        found = of_context(value)
    elif issubclass(cls, Context):
        found = trace.get_current_span(value)
    elif depth:
        for part in _parts(value, cls):
            yield from _spans_in(part, depth - 1)
        return
    if _valid(found) is not None:
        assert found is not None
        yield found


def _parts(value: Any, cls: type) -> list[Any]:
    """Return what may hold a span in `value`, which may be anything: none of its code is run."""
    if cls is dict or cls is tuple:
        return list(value.values() if cls is dict else value)[:_MAX_VALUES]
    if cls is functools.partial:
        return [value.func, *value.args]
    if cls is BuiltinMethodType:  # such as `context.run`
        return [value.__self__]
    if str(cls.__module__).startswith(("everylayer", "asyncio")):
        return [_attribute(value, name) for name in _ATTRIBUTES]
    state = _attribute(value, "__dict__")
    return [state] if type(state) is dict else []


def _attribute(value: Any, name: str) -> Any:
    try:
        return object.__getattribute__(value, name)
    except AttributeError:
        return None


def _valid(span: Span | None) -> Span | None:
    return span if span is not None and span.get_span_context().is_valid else None
