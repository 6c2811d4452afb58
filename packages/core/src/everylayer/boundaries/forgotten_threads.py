"""Threads that end with an exception: it is on the trace of the request that has started them."""

from __future__ import annotations

import threading
from typing import Any

from opentelemetry.trace import INVALID_SPAN, Span

from .. import spans
from ..failsafe import contained, count_failure
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


def _keep_span(thread: threading.Thread) -> None:
    try:
        span = spans.current()
        if span is None:
            span = _of_starter()
        if span is not None and not _is_of_a_pool(thread):
            _set(thread, _SPAN, span)
    except Exception:  # noqa: BLE001 - as `contained` does, but for each thread
        count_failure(f"{__name__}._keep_span")


# Not by `vars`, which gives the thread a dictionary: Python reads it faster without.
_set = object.__setattr__


def _of_starter() -> Span | None:
    """Return the span of a thread that has not got the context of its own starter either."""
    starter = getattr(threading, "_active", {}).get(threading.get_ident())
    return vars(starter).get(_SPAN) if starter is not None else None


def _is_of_a_pool(thread: Any) -> bool:
    # One of a pool works for many, and shows its errors by their futures.
    module = getattr(getattr(thread, "_target", None), "__module__", None)
    return str(module).startswith(_POOLS)


@contained
def _ended(args: Any) -> None:
    exc, thread = args.exc_value, args.thread
    # `sys.exit()` in a thread is a way to end it.
    if exc is None or thread is None or issubclass(type(exc), SystemExit):
        return
    span: Span = vars(thread).get(_SPAN, INVALID_SPAN)
    work.forgotten(exc, span, "thread")
