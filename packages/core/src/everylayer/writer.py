"""From sightings to sinks: what the outcome makes of each error, once and within bounds."""

from __future__ import annotations

from typing import NamedTuple

from opentelemetry.trace import INVALID_SPAN, Span

from . import chain, settings, spans
from .failsafe import contained
from .layers import Layer
from .policy import Verdict, judge
from .record import ErrorRecord, build
from .redaction import earlier, values
from .settings import Settings
from .sighting import Identity, Sighting
from .sinks import attributes, log_event, span_event


class Page:
    """What one span's seams saw: bounded, each exception once.

    Attributes:
        seen: the sightings held; they keep exceptions alive until the request is over.
        dropped: errors that found no room.
        events: exception events written.
        failed: an error has already described the span's failure.
        known: type, message and place of the errors written.
    """

    __slots__ = ("dropped", "events", "failed", "known", "seen")

    def __init__(self) -> None:
        self.seen: list[Sighting] = []
        self.dropped = 0
        self.events = 0
        self.failed = False
        self.known: set[Identity] = set()

    def find(self, exc: BaseException) -> Sighting | None:
        """Return the sighting of this very object."""
        for sighting in self.seen:
            if sighting.exc is exc:
                return sighting
        return None

    def add(self, sighting: Sighting, max_events: int) -> Sighting | None:
        """Keep `sighting`; when full, it replaces its predecessor: the last error counts.

        Returns:
            What it replaced, if anything.
        """
        replaced = None
        if len(self.seen) >= 2 * max_events:
            replaced = self.seen.pop()
            self.dropped += not replaced.written
        self.seen.append(sighting)
        return replaced

    def absorb(self, other: Page) -> None:
        """Take over what another page of the same span holds."""
        self.seen.extend(s for s in other.seen if self.find(s.exc) is None)
        self.dropped += other.dropped
        self.events += other.events
        self.failed = self.failed or other.failed
        self.known |= other.known

    def take(self) -> list[Sighting]:
        """Return what is not yet written, and count it as written."""
        pending = [sighting for sighting in self.seen if not sighting.written]
        for sighting in pending:
            sighting.written = True
        return pending


class _Entry(NamedTuple):
    sighting: Sighting
    record: ErrorRecord


def write(
    span: Span | None,
    page: Page,
    pending: list[Sighting],
    rules: Settings,
    response_status: int | None,
) -> None:
    """Judge `pending`, build the records, and hand them to the sinks.

    Args:
        span: where they belong; None, ended or not recording leaves the log sink alone.
        page: the span's page, whose counts are kept.
        pending: sightings, oldest first.
        rules: the settings in force.
        response_status: status of the final response, None where there was none.
    """
    to_spans, to_logs = settings.signals()
    on_span = spans.recording(span) or spans.ended(span)
    if not on_span and not to_logs:
        return
    if span is not None and not page.events and spans.recording(span):
        said = getattr(span, "status", None)
        if (said is not None and said.description) or getattr(span, "events", ()):
            # Rare: somebody wrote before anything of ours stood.
            earlier.redact(span, rules, [sighting.exc for sighting in page.seen])
    entries = [
        entry
        for sighting in pending
        if (entry := _entry(sighting, span, page, rules, response_status)) is not None
    ]
    for entry in _within_budget(entries, page, rules.max_events):
        target: Span | None = None
        if span is not None and on_span:
            target = _to_span(span, entry, page, rules, to_spans)
        if to_logs:
            _to_log(target or span or INVALID_SPAN, entry.record)
    if page.dropped and spans.recording(span):
        assert span is not None
        span.set_attribute(attributes.DROPPED, page.dropped)


def worth_a_span(page: Page | None, rules: Settings, response_status: int | None) -> bool:
    """Tell whether anything on `page` would be reported: a plain 404 makes no span."""
    return page is not None and any(
        sighting.explicit
        or _judge(sighting, sighting.where(), rules, response_status) is not Verdict.IGNORE
        for sighting in page.seen
    )


def _judge(
    sighting: Sighting, layer: Layer, rules: Settings, response_status: int | None
) -> Verdict:
    return judge(
        sighting.exc,
        rules,
        layer_kind=layer.kind,
        client_status=sighting.client_status,
        response_status=response_status,
        escaped=(sighting.late or sighting.escaped or (sighting.left and response_status is None)),
        handled=sighting.handled,
    )


@contained
def _entry(
    sighting: Sighting,
    span: Span | None,
    page: Page,
    rules: Settings,
    response_status: int | None,
) -> _Entry | None:
    layer = sighting.where()
    verdict = _judge(sighting, layer, rules, response_status)
    if verdict is Verdict.IGNORE and not sighting.explicit:
        return None
    built = build(
        sighting.exc,
        sighting.tb,
        rules,
        layer=layer,
        phase=sighting.phase,
        handled=verdict is not Verdict.ERROR,
        time_ns=sighting.time_ns,
        exact=values.known(span, sighting.named),
    )
    identity = (built.type, built.message, built.file, built.line)
    # The same converter failing at each layer on the way out is one failure; a second attempt,
    # whose reasons are others, is one more, and so is one that nobody deals with any more.
    sighting.identity = identity
    sighting.failed = verdict is Verdict.ERROR
    if identity in page.known and _fails_again(sighting, page):
        return None
    page.known.add(identity)
    return _Entry(sighting, built)


def _fails_again(sighting: Sighting, page: Page) -> bool:
    earlier = map(page.find, chain.ancestors(sighting.exc))
    return any(
        e is not None and e.identity == sighting.identity and (e.failed or not sighting.failed)
        for e in earlier
    )


def _within_budget(entries: list[_Entry], page: Page, max_events: int) -> list[_Entry]:
    """Return what there is room for, errors before what was handled, in order of time."""
    room = max(max_events - page.events, 0)
    if len(entries) > room:
        page.dropped += len(entries) - room
        ranked = sorted(entries, key=lambda entry: entry.record.handled)[:room]
        entries = [entry for entry in entries if entry in ranked]
    page.events += len(entries)
    return entries


@contained
def _to_span(span: Span, entry: _Entry, page: Page, rules: Settings, to_spans: bool) -> Span:
    error = entry.record
    if entry.sighting.late or spans.ended(span):
        if rules.late_spans:
            return spans.add_late(span, error, rules.max_description_chars, event=to_spans)
        return span
    if not error.handled and not page.failed:
        page.failed = True
        spans.fail(span, error, rules)
    if to_spans and not spans.has_event(span, error, rules):
        span_event.write(span, error, entry.sighting.attributes)
    return span


_to_log = contained(log_event.write)
