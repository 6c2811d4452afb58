"""Threads that end with an exception: it is on the trace of the request that has started them."""

from __future__ import annotations

import threading
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import INVALID_SPAN, Span

from ..failsafe import contained
from . import work
from .patch import Switch

_SPAN = "_everylayer_span"
_POOLS = "concurrent.futures"


def start(before: Any, switch: Switch) -> Any:
    """Return what stands for `Thread.start`."""

    def replaced(self: threading.Thread, *args: Any, **kwargs: Any) -> Any:
        if switch.on:
            _keep_span(self)
        return before(self, *args, **kwargs)

    return replaced


def excepthook(before: Any, switch: Switch) -> Any:
    """Return what stands for `threading.excepthook`."""

    def replaced(args: Any, /) -> Any:
        if switch.on:
            _ended(args)
        return before(args)

    return replaced


@contained
def _keep_span(thread: threading.Thread) -> None:
    # One of a pool works for many, and shows its errors by their futures.
    if str(getattr(getattr(thread, "_target", None), "__module__", "")).startswith(_POOLS):
        return
    span = trace.get_current_span()
    if span is INVALID_SPAN:
        # Started by a thread that has not got the context either.
        starter = getattr(threading, "_active", {}).get(threading.get_ident())
        span = vars(starter).get(_SPAN, INVALID_SPAN) if starter is not None else INVALID_SPAN
    if span is not INVALID_SPAN:
        vars(thread)[_SPAN] = span


@contained
def _ended(args: Any) -> None:
    exc, thread = args.exc_value, args.thread
    # `sys.exit()` in a thread is a way to end it.
    if exc is None or thread is None or issubclass(type(exc), SystemExit):
        return
    span: Span = vars(thread).get(_SPAN, INVALID_SPAN)
    work.forgotten(exc, span, "thread")
