"""Where an exception was: found on the exception itself, wherever it goes afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from opentelemetry.trace import Span, SpanContext, format_span_id, format_trace_id

from . import chain, notes
from .boundaries import received
from .error_record import ErrorRecord
from .failsafe import contained
from .layers import Layer, from_traceback

_KEY = "_everylayer_origin"


class ErrorOrigin(NamedTuple):
    """Where an error is in OpenTelemetry.

    Attributes:
        trace_id: 32 lower-case hexadecimal digits.
        span_id: 16 of them: the span that bears the error, or will when its request is over.
        layer: name of the layer that it began in.
        time_ns: when it was seen first, nanoseconds since the epoch; 0 where that was elsewhere.
    """

    trace_id: str
    span_id: str
    layer: str
    time_ns: int


class _Note(NamedTuple):
    """What is kept: `of_span` is the request's span, `written` whether the record is out."""

    trace_id: int
    span_id: int
    layer: str
    time_ns: int
    of_span: int
    written: bool


@contained
def trace_of(exc: BaseException) -> ErrorOrigin | None:
    """Return where `exc` was recorded, None where neither it nor its chain was.

    A wrapper that has not been seen itself (`raise B from A`) answers with what its cause, its
    context or its members say; an exception that was raised in several requests, with the last.
    One that was raised for another service's response, and not recorded here, with what that said.
    """
    for one in _with_chain(exc):
        note = _note_of(one)
        if note is not None:
            layer = note.layer or from_traceback(chain.traceback_of(one)).name
            return ErrorOrigin(
                format_trace_id(note.trace_id), format_span_id(note.span_id), layer, note.time_ns
            )
    return _upstream(exc)


def _upstream(exc: BaseException) -> ErrorOrigin | None:
    said = received.behind(exc, chain.traceback_of(exc))
    if said is None or not (said.context.origin.trace_id and said.context.origin.span_id):
        return None
    began = said.context.origin
    return ErrorOrigin(began.trace_id, began.span_id, began.layer, 0)


@contained
def seen(exc: BaseException, span: Span | None, layer: Layer | None, time_ns: int) -> None:
    """Note that a request, whose span may not be known yet, has seen `exc` for the first time."""
    if span is None:
        return
    own = span.get_span_context()
    if own.is_valid:
        name = layer.name if layer is not None else ""
        notes.put(exc, _KEY, (own.trace_id, own.span_id, name, time_ns, own.span_id, False))


def written(exc: BaseException, home: Span, span: Span, record: ErrorRecord) -> None:
    """Note that the record of `exc` is on `home`: `span`, the request's, or a late child of it."""
    own = home.get_span_context()
    request = own if home is span else span.get_span_context()
    kept = (own.trace_id, own.span_id, record.layer.name, record.time_ns, request.span_id, True)
    notes.put(exc, _KEY, kept)


def was_on(exc: BaseException, there: SpanContext) -> None:
    """Note that `exc`, which came from elsewhere, was on another process's span."""
    notes.put(exc, _KEY, (there.trace_id, there.span_id, "", 0, there.span_id, True))


def is_written(exc: BaseException, span: Span) -> bool:
    """Tell whether the record of `exc` is on `span`, or on a late child of it.

    So it is where each member of a group has one.
    """
    note = _note_of(exc)
    if note is None and chain.is_group(exc):
        return all(not chain.is_group(one) and is_written(one, span) for one in chain.members(exc))
    return note is not None and note.written and note.of_span == span.get_span_context().span_id


def _note_of(exc: BaseException) -> _Note | None:
    found: Any = notes.of(exc, _KEY)
    return _Note(*found) if found is not None else None


def _with_chain(exc: BaseException) -> Iterator[BaseException]:
    yield exc
    for link in chain.links(exc):
        yield link.exc
