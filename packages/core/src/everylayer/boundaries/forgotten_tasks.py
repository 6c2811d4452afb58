"""Asyncio tasks and callbacks whose errors only the loop hears of."""

from __future__ import annotations

import contextvars
import sys
import weakref
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import INVALID_SPAN, Span

from ..failsafe import contained
from . import work
from .aftermath import hand_over
from .patch import Switch

_PHASE = "task"

# Before Python 3.12 alone: those tasks take no attributes.
_spans: weakref.WeakKeyDictionary[Any, Span] = weakref.WeakKeyDictionary()


def call_exception_handler(before: Any, switch: Switch) -> Any:
    """Return what stands for a loop's `call_exception_handler`."""

    def replaced(self: Any, context: Any) -> Any:
        if switch.on:
            _heard(context)
        return before(self, context)

    return replaced


def create_task(before: Any, switch: Switch) -> Any:
    """Return what stands for a loop's `create_task`."""

    def replaced(self: Any, coro: Any, **kwargs: Any) -> Any:
        task = before(self, coro, **kwargs)
        if switch.on:
            _keep_span(task, kwargs.get("context"))
        return task

    return replaced


@contained
def _keep_span(task: Any, context: contextvars.Context | None) -> None:
    span = trace.get_current_span() if context is None else work.span_in(context)
    if span is not INVALID_SPAN:
        _spans[task] = span


@contained
def _heard(about: Any) -> None:
    exc = about.get("exception")
    if not isinstance(exc, BaseException):
        return
    span = _span_of(about)
    if about.get("task") is None and about.get("future") is None:
        work.forgotten(exc, span, _PHASE)
    elif span is not INVALID_SPAN:
        # Most are heard of in their finalizers.
        hand_over(work.forgotten, exc, span, _PHASE)


def _span_of(about: dict[str, Any]) -> Span:
    """Return the span that a task, a callback, or the first of several tasks works in."""
    source: Any = about.get("task") or about.get("future") or about.get("handle")
    children = getattr(source, "_children", None)
    if children:
        source = children[0]
    context: Any = None
    if sys.version_info >= (3, 12) and hasattr(source, "get_context"):
        context = source.get_context()
    context = context or getattr(source, "_context", None)
    if isinstance(context, contextvars.Context):
        return work.span_in(context)
    if source is not None and source is about.get("handle"):
        # One of uvloop's, which keeps its context to itself but is still in it.
        return trace.get_current_span()
    return _spans.get(source, INVALID_SPAN) if source is not None else INVALID_SPAN
