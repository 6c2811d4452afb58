"""Exporters that let nothing sensitive of an error pass, whoever recorded it on whatever span.

They stand before another exporter, copy what has to be changed, and leave the rest as it is.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Link, Status

from ..failsafe import count_failure
from ..settings import current
from . import guard
from .cleaning import Cleaner
from .policy import Redaction

T = TypeVar("T")

_EVENT = "exception"
_TYPE = "exception.type"
# What everylayer writes has passed already, before it was cut.
_OURS = "everylayer.layer.name"
_TEXTS = frozenset({"exception.message", "exception.stacktrace"})


class RedactingSpanExporter(SpanExporter):
    """Redacts exception events and status descriptions of every span before it is exported.

    Args:
        exporter: gets the spans then. Those that need no change are passed as they are.
        redaction: a policy as in the settings, by default theirs.
        attributes: redact names of spans, and attributes of spans, events and links too.
    """

    def __init__(
        self,
        exporter: SpanExporter,
        redaction: str | Redaction | None = None,
        *,
        attributes: bool = False,
    ) -> None:
        _check(redaction)
        self._exporter = exporter
        self._redaction = redaction
        self._attributes = attributes

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export `spans`; one that cannot be redacted is left out, and counted."""
        return self._exporter.export(_redacted(spans, _span, self._redaction, self._attributes))

    def shutdown(self) -> None:
        """Shut the exporter down."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the exporter."""
        return self._exporter.force_flush(timeout_millis)


class RedactingLogRecordExporter(LogRecordExporter):
    """Redacts what log records say of exceptions before they are exported.

    Args:
        exporter: gets the records then. Those that need no change are passed as they are.
        redaction: a policy as in the settings, by default theirs.
        attributes: redact bodies and attributes of records without an exception too.
    """

    def __init__(
        self,
        exporter: LogRecordExporter,
        redaction: str | Redaction | None = None,
        *,
        attributes: bool = False,
    ) -> None:
        _check(redaction)
        self._exporter = exporter
        self._redaction = redaction
        self._attributes = attributes

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Export `batch`; a record that cannot be redacted is left out, and counted."""
        return self._exporter.export(_redacted(batch, _log, self._redaction, self._attributes))

    def shutdown(self) -> None:
        """Shut the exporter down."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the exporter."""
        flush = getattr(self._exporter, "force_flush", None)
        return True if flush is None else bool(flush(timeout_millis))


class _RedactedSpan(ReadableSpan):
    """A span with other texts than the one it was made of."""

    def __init__(
        self,
        span: ReadableSpan,
        name: str,
        attributes: Mapping[str, Any] | None,
        events: Sequence[Event],
        links: Sequence[Link],
        status: Status,
    ) -> None:
        super().__init__(
            name=name,
            context=span.get_span_context(),
            parent=span.parent,
            resource=span.resource,
            attributes=attributes,
            events=events,
            links=links,
            kind=span.kind,
            status=status,
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )
        self._dropped = (span.dropped_attributes, span.dropped_events, span.dropped_links)

    @property
    def dropped_attributes(self) -> int:
        return self._dropped[0]

    @property
    def dropped_events(self) -> int:
        return self._dropped[1]

    @property
    def dropped_links(self) -> int:
        return self._dropped[2]


def _check(redaction: str | Redaction | None) -> None:
    if redaction is not None:
        guard.redactor_of(redaction)


def _redacted(
    items: Sequence[T],
    redact: Callable[[T, Cleaner, bool], T],
    redaction: str | Redaction | None,
    every: bool,
) -> Sequence[T]:
    """Return `items` as they may be exported, without those that cannot be redacted."""
    redactor = guard.redactor_of(current().redaction if redaction is None else redaction)
    if redactor is None:
        return items
    cleaner = Cleaner(redactor)
    found = []
    for item in items:
        try:
            found.append(redact(item, cleaner, every))
        except Exception:
            count_failure("everylayer.redaction", with_stack=False)
    return found


def _span(span: ReadableSpan, cleaner: Cleaner, every: bool) -> ReadableSpan:
    before, status, links = span.events, span.status, span.links
    if not (before or status.description or every):
        return span
    events = [_event(event, cleaner, every=every) for event in before]
    if status.description:
        types = [str((event.attributes or {}).get(_TYPE, "")) for event in before]
        said = cleaner.description(status.description, types)
        if said != status.description:
            status = Status(status.status_code, said)
    name, attributes = span.name, span.attributes
    if every:
        name = cleaner.text(name)
        attributes = cleaner.attributes(span.attributes)
        links = [
            link if (kept := cleaner.attributes(link.attributes)) is link.attributes
            else Link(link.context, kept)
            for link in links
        ]  # fmt: skip
    if (
        status is span.status
        and name == span.name
        and all(a is b for a, b in zip(events, before, strict=True))
        and (not every or _same(attributes, links, span))
    ):
        return span
    return _RedactedSpan(span, name, attributes, events, links, status)


def _event(event: Event, cleaner: Cleaner, *, every: bool) -> Event:
    found = event.attributes or {}
    if every:
        kept = cleaner.attributes(event.attributes)
    elif event.name == _EVENT and _OURS not in found:
        kept = cleaner.attributes(event.attributes, _TEXTS)
    else:
        return event
    if kept is event.attributes:
        return event
    return Event(event.name, _bounded(kept, event.dropped_attributes), event.timestamp)


def _log(record: ReadableLogRecord, cleaner: Cleaner, every: bool) -> ReadableLogRecord:
    log = record.log_record
    found = log.attributes or {}
    if not every and (_OURS in found or _TEXTS.isdisjoint(found)):
        return record
    attributes = cleaner.attributes(log.attributes, None if every else _TEXTS)
    body = cleaner.value(log.body)
    if attributes is log.attributes and body is log.body:
        return record
    log = copy.copy(log)
    log.body = body
    if attributes is not log.attributes:
        log.attributes = _bounded(attributes, record.dropped_attributes)
    return dataclasses.replace(record, log_record=log)


def _bounded(attributes: Mapping[str, Any] | None, dropped: int) -> BoundedAttributes:
    made = BoundedAttributes(attributes=attributes)
    made.dropped = dropped
    return made


def _same(attributes: Mapping[str, Any] | None, links: Sequence[Link], span: ReadableSpan) -> bool:
    return dict(attributes or {}) == dict(span.attributes or {}) and all(
        a is b for a, b in zip(links, span.links, strict=True)
    )
