"""From sightings to sinks: what the outcome makes of each error, once and within bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from opentelemetry.trace import INVALID_SPAN, Span

from . import chain, origin, settings, spans, volume
from .boundaries import received, tenant
from .failsafe import contained
from .layers import WORK, Layer
from .policy import Verdict, judge
from .record import ErrorRecord, build
from .redaction import earlier, values
from .settings import Settings
from .sighting import SWALLOWED, Identity, Sighting
from .sinks import attributes, log_event, span_event
from .sinks.sentry import on_span, switch

if TYPE_CHECKING:
    from .boundaries.arrival import Arrival


class Page:
    """What one span's seams saw: bounded, each exception once.

    Attributes:
        seen: the sightings held; they keep exceptions alive until the request is over.
        dropped: errors that found no room.
        events: exception events written.
        failed: an error has already described the span's failure.
        known: type, message and place of the errors written.
        came: what the request says of itself, None while no seam has read it.
        account: the bytes that the events take.
    """

    __slots__ = ("account", "came", "dropped", "events", "failed", "known", "seen")

    def __init__(self) -> None:
        self.seen: list[Sighting] = []
        self.dropped = 0
        self.events = 0
        self.failed = False
        self.known: set[Identity] = set()
        self.came: Arrival | None = None
        self.account = volume.Account()

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
        self.came = self.came or other.came
        if not self.account.bytes:
            self.account = other.account

    def take(self) -> list[Sighting]:
        """Return what is not yet written, and count it as written."""
        pending = [sighting for sighting in self.seen if not sighting.written]
        for sighting in pending:
            sighting.written = True
        return pending


class _Entry(NamedTuple):
    sighting: Sighting
    record: ErrorRecord
    # As built, where `record` had to be shortened: what others wrote is compared with it.
    whole: ErrorRecord


def write(
    span: Span | None,
    page: Page,
    pending: list[Sighting],
    rules: Settings,
    response_status: int | None,
    since_ns: int = 0,
) -> None:
    """Judge `pending`, build the records, and hand them to the sinks.

    Args:
        span: where they belong; None, ended or not recording leaves the log sink alone.
        page: the span's page, whose counts are kept.
        pending: sightings, oldest first.
        rules: the settings in force.
        response_status: status of the final response, None where there was none.
        since_ns: when the request began, nanoseconds since the epoch.
    """
    to_spans, to_logs = settings.signals()
    has_span = spans.recording(span) or spans.ended(span)
    link = switch.look(rules)
    to_sentry = link is not None and rules.sentry == "capture"
    if not has_span and not to_logs and not to_sentry:
        return
    if span is not None and not page.events and spans.recording(span):
        said = getattr(span, "status", None)
        if (said is not None and said.description) or getattr(span, "events", ()):
            # Rare: somebody wrote before anything of ours stood.
            earlier.redact(span, rules, [sighting.exc for sighting in page.seen])
    entries = [
        entry
        for sighting in _in_question(pending, page)
        if (entry := _entry(sighting, span, page, rules, response_status)) is not None
    ]
    kept = _within_budget(entries, page, rules.max_events)
    shorter = volume.fitted([entry.record for entry in kept], page.account, rules)
    if shorter is not None:
        kept = [entry._replace(record=r) for entry, r in zip(kept, shorter, strict=True)]
    homes = [(_home(span, entry, rules) or span) if span and has_span else span for entry in kept]
    if link is not None:
        kept = _with_events(kept, homes, rules, since_ns, span) or kept
    for entry, home in zip(kept, homes, strict=True):
        if home is not None and has_span:
            _to_span(home, span, entry, page, rules, to_spans)
        if to_logs:
            _to_log(home or INVALID_SPAN, entry.record)
    if page.dropped and spans.recording(span):
        assert span is not None
        span.set_attribute(attributes.DROPPED, page.dropped)


def worth_a_span(page: Page | None, rules: Settings, response_status: int | None) -> bool:
    """Tell whether anything on `page` would be reported: a plain 404 makes no span."""
    return page is not None and any(
        sighting.explicit
        or _judge(sighting, sighting.where(), rules, response_status) is not Verdict.IGNORE
        for sighting in _in_question(page.seen, page)
    )


def failing(page: Page, rules: Settings, response_status: int) -> Sighting | None:
    """Return the first error that makes the response a failure: it is the one on the span."""
    for sighting in _in_question(page.seen, page):
        if _judge(sighting, sighting.so_far(), rules, response_status) is Verdict.ERROR:
            return sighting
    return None


def _in_question(sightings: list[Sighting], page: Page) -> list[Sighting]:
    """Return those that are errors of their own; what a layer handled by itself comes last.

    That was none if it left the layer, or became another error, whose record tells of it.
    """
    sightings = _without_members(sightings, page)
    if not any(s.phase == SWALLOWED for s in sightings):
        return sightings
    crossed = [s for s in page.seen if s.phase != SWALLOWED]
    told = {id(earlier) for s in crossed for earlier in chain.ancestors(s.exc)}
    kept = [s for s in sightings if s.phase == SWALLOWED and s.stayed() and id(s.exc) not in told]
    return [*(s for s in sightings if s.phase != SWALLOWED), *kept]


def _without_members(sightings: list[Sighting], page: Page) -> list[Sighting]:
    """Return those that are not work whose error a group has gathered: its record shows them."""
    groups = [s.exc for s in page.seen if chain.is_group(s.exc)]
    if not groups:
        return sightings
    inside = {id(link.exc) for g in groups for link in chain.links(g) if link.relation == "member"}
    return [
        s for s in sightings if id(s.exc) not in inside or s.layer is None or s.layer.kind != WORK
    ]


def _judge(
    sighting: Sighting, layer: Layer, rules: Settings, response_status: int | None
) -> Verdict:
    escaped = sighting.late or sighting.escaped or (sighting.left and response_status is None)
    handled = sighting.handled
    if sighting.phase == SWALLOWED:
        # Only a 5xx says that dealing with it was not enough.
        escaped, handled = False, response_status is None or response_status < 500
    return judge(
        sighting.exc,
        rules,
        layer_kind=layer.kind,
        client_status=sighting.client_status,
        response_status=response_status,
        escaped=escaped,
        handled=handled,
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
        tenant=sighting.tenant or tenant.of_span(span),
        said=sighting.said,
    )
    identity = (built.type, built.message, built.file, built.line)
    # The same converter failing at each layer on the way out is one failure; a second attempt,
    # whose reasons are others, is one more, and so is one that nobody deals with any more.
    sighting.identity = identity
    sighting.failed = verdict is Verdict.ERROR
    if identity in page.known and _fails_again(sighting, page):
        return None
    page.known.add(identity)
    behind = received.behind(sighting.exc, sighting.tb)
    if behind is not None:
        # Loaded since there are settings.
        from .redaction import guard

        behind = behind.redacted(guard.redactor_of(rules.redaction))
    if behind is not None or page.came is not None:
        built = built._replace(upstream=behind, came=page.came)
    return _Entry(sighting, built, built)


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
def _with_events(
    entries: list[_Entry],
    homes: list[Span | None],
    rules: Settings,
    since_ns: int,
    span: Span | None,
) -> list[_Entry]:
    """Return `entries` with the Sentry event of each."""
    from .sinks.sentry import capture

    ids = capture.reports(
        [(home, entry.sighting, entry.record) for entry, home in zip(entries, homes, strict=True)],
        rules,
        since_ns,
        span,
    )
    return [
        entry._replace(record=entry.record._replace(sentry_event_id=event_id))
        for entry, event_id in zip(entries, ids, strict=True)
    ]


@contained
def _home(span: Span, entry: _Entry, rules: Settings) -> Span:
    begun = entry.sighting.home is not None
    if (
        not begun
        and spans.ended(span)
        and spans.has_event(span, entry.whole, rules, entry.sighting.exc)
    ):
        # Stock may have recorded it as it ended the span, before it reached a seam.
        return span
    return spans.home_of(span, entry.sighting, rules)


@contained
def _to_span(
    home: Span, span: Span | None, entry: _Entry, page: Page, rules: Settings, to_spans: bool
) -> None:
    error = entry.record
    first = False
    if span is not None:
        origin.written(entry.sighting.exc, home, span, error)
    if error.upstream is not None and spans.recording(home):
        span_event.link(home, error)
    if home is not span:
        on_span.write(home, error.sentry_event_id, rules, first=True)
        spans.end_late(home, error, rules.max_description_chars, event=to_spans)
        return
    if entry.sighting.late or spans.ended(home):
        return
    if not error.handled and not page.failed:
        page.failed = first = True
        spans.fail(home, entry.whole, rules)
    on_span.write(home, error.sentry_event_id, rules, first=first)
    if to_spans and not spans.has_event(home, entry.whole, rules, entry.sighting.exc):
        span_event.write(home, error, entry.sighting.attributes)


_to_log = contained(log_event.write)
