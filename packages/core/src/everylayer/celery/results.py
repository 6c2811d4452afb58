"""Celery's result back ends: the chain of a task's error comes back with it.

Celery has no signal for this. Two methods of its `Backend` are patched: one says what is stored
of an exception, the other makes the exception of that again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from celery.backends.base import Backend
from celery.exceptions import Retry
from celery.utils.serialization import UnpickleableExceptionWrapper
from opentelemetry import trace
from opentelemetry.trace import SpanContext

from .. import chain, origin
from ..boundaries import anatomy
from ..boundaries.plain import relink, to_plain
from ..boundaries.tree import carry
from ..failsafe import contained

KEY = "everylayer"
_HEX = re.compile("[0-9a-f]{16,32}")

_before: dict[str, Callable[..., Any]] = {}


def patch() -> None:
    """Put the patches in place, once."""
    if _before:
        return
    _before.update(
        prepare_exception=Backend.prepare_exception,
        exception_to_python=Backend.exception_to_python,
    )
    Backend.prepare_exception = _prepare_exception
    Backend.exception_to_python = _exception_to_python


def unpatch() -> None:
    """Take the patches away, unless somebody else's stand on top."""
    if Backend.prepare_exception is _prepare_exception:
        Backend.prepare_exception = _before.pop("prepare_exception")
    if Backend.exception_to_python is _exception_to_python:
        Backend.exception_to_python = _before.pop("exception_to_python")
    if len(_before) == 1:
        _before.clear()


def _prepare_exception(self: Any, exc: BaseException, serializer: Any = None) -> Any:
    prepared = _before["prepare_exception"](self, exc, serializer)
    _add(prepared, exc)
    return prepared


@contained
def _add(prepared: Any, exc: BaseException) -> None:
    tree = to_plain(carry(_original(exc), max_nodes=16, max_bytes=0))
    found = {"tree": tree, "origin": _ids()}
    if isinstance(prepared, dict):
        prepared[KEY] = found
    elif isinstance(prepared, BaseException):
        anatomy.dictionary_of(prepared)[KEY] = found


def _original(exc: BaseException) -> BaseException:
    """Return what `exc` was, before Celery made something of it that can be pickled."""
    actual = chain.in_flight()
    if actual is None or isinstance(actual, Retry):
        return exc
    made = isinstance(exc, UnpickleableExceptionWrapper)
    return actual if made or issubclass(type(actual), type(exc)) else exc


def _ids() -> list[str] | None:
    found = trace.get_current_span().get_span_context()
    if not found.is_valid:
        return None
    return [trace.format_trace_id(found.trace_id), trace.format_span_id(found.span_id)]


def _exception_to_python(self: Any, exc: Any) -> Any:
    found = exc.get(KEY) if isinstance(exc, dict) else None
    made = _before["exception_to_python"](self, exc)
    if isinstance(made, BaseException):
        found = anatomy.dictionary_of(made).pop(KEY, None) if found is None else found
        if isinstance(found, dict):
            _restore(made, found)
    return made


@contained
def _restore(exc: BaseException, found: dict[str, Any]) -> None:
    there = _ids_in(found.get("origin"))
    if there is not None:
        _link(there)
        # Until it is raised in a request of this process.
        origin.was_on(exc, there)
    relink(exc, found.get("tree"))


def _ids_in(found: Any) -> SpanContext | None:
    if not (isinstance(found, list) and len(found) == 2):
        return None
    if not all(isinstance(part, str) and _HEX.fullmatch(part) for part in found):
        return None
    trace_id, span_id = (int(part, 16) for part in found)
    there = SpanContext(trace_id, span_id, is_remote=True)
    return there if there.is_valid else None


def _link(there: SpanContext) -> None:
    """Link the current span, whose app asks for the result, to that of the task's error."""
    span = trace.get_current_span()
    if span.is_recording() and there.span_id != span.get_span_context().span_id:
        span.add_link(there)
