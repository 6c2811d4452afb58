"""From sightings to sinks: what the outcome makes of each error, once and within bounds."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Literal, NamedTuple

from opentelemetry.trace import INVALID_SPAN, Span

from . import chain, origin, redaction, signals, spans, volume
from .boundaries import received, tenant
from .error_record import ErrorRecord, build
from .failsafe import contained
from .layers import WORK, Layer
from .page import Page
from .policy import Verdict, judge
from .redaction import earlier, values
from .settings import Settings
from .sighting import SWALLOWED, Sighting
from .sinks import attributes, log_event, metrics, span_event
from .sinks.sentry import on_span, switch

# To write an exception runs its `__str__`, more than once, and that may record another one.
_depth: ContextVar[int] = ContextVar("everylayer_writing", default=0)
_DEEPEST = 2


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

    Raises:
        RecursionError: each text of an error records another error, whose text does.
    """
    depth = _depth.get()
    if depth == _DEEPEST:
        raise RecursionError("the text of an exception records others, and theirs do too")
    token = _depth.set(depth + 1)
    try:
        tally = metrics.tally(page, rules)
        left_out = _write(span, page, pending, rules, response_status, since_ns, tally)
        if tally is not None:
            tally.done(span, left_out)
    finally:
        _depth.reset(token)


def _write(
    span: Span | None,
    page: Page,
    pending: list[Sighting],
    rules: Settings,
    response_status: int | None,
    since_ns: int,
    tally: metrics.Tally | None,
) -> int:
    """Do it, and return how many there was no room for."""
    to_spans, to_logs = signals.wanted()
    recording = spans.recording(span)
    has_span = recording or spans.ended(span)
    link = switch.look(rules)
    to_sentry = link is not None and rules.sentry == "capture"
    if not has_span and not to_logs and not to_sentry:
        if tally is not None:
            _only_count(span, page, pending, rules, response_status, tally)
        return 0
    if recording:
        _redact_earlier(span, page, rules)
    entries = _entries(span, page, pending, rules, response_status, tally)
    kept = _within_budget(entries, page, rules.max_events)
    left_out = len(entries) - len(kept)
    kept = _shortened(kept, page, rules)
    homes = [
        # Nearly always the span itself.
        span
        if span is None or not has_span or (recording and not entry.sighting.late)
        else (_home(span, entry, rules) or span)
        for entry in kept
    ]
    if link is not None:
        kept = _with_events(kept, homes, rules, since_ns, span) or kept
    for entry, home in zip(kept, homes, strict=True):
        there: bool | None = False
        if home is not None and has_span:
            there = _to_span(home, span, entry, page, rules, to_spans)
        if to_logs:
            _to_log(home or INVALID_SPAN, entry.record)
        if tally is not None:
            tally.error(entry.sighting, entry.record.handled, span, home, there)
    if page.dropped and spans.recording(span):
        assert span is not None
        span.set_attribute(attributes.DROPPED, page.dropped)
    return left_out


def _redact_earlier(span: Span | None, page: Page, rules: Settings) -> None:
    if span is not None and not page.events:
        said = getattr(span, "status", None)
        if (said is not None and said.description) or getattr(span, "events", ()):
            # Rare: somebody wrote before anything of ours stood.
            earlier.redact(span, rules, [sighting.exc for sighting in page.seen])


def _entries(
    span: Span | None,
    page: Page,
    pending: list[Sighting],
    rules: Settings,
    response_status: int | None,
    tally: metrics.Tally | None,
) -> list[_Entry]:
    found = []
    for sighting in _in_question(pending, page):
        entry = _entry(sighting, span, page, rules, response_status)
        if entry:
            found.append(entry)
        elif entry is None and tally is not None:
            tally.error(sighting, False, span, written=None)
    return found


def _only_count(
    span: Span | None,
    page: Page,
    pending: list[Sighting],
    rules: Settings,
    response_status: int | None,
    tally: metrics.Tally,
) -> None:
    for sighting in _in_question(pending, page):
        verdict = _judge(sighting, sighting.where(), rules, response_status)
        if verdict is not Verdict.IGNORE or sighting.explicit:
            tally.error(sighting, verdict is not Verdict.ERROR, span)


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
    if sighting.departed:
        return Verdict.IGNORE
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
) -> _Entry | Literal[False] | None:
    """Return what there is to write of `sighting`, False for nothing."""
    layer = sighting.where()
    verdict = _judge(sighting, layer, rules, response_status)
    if verdict is Verdict.IGNORE and not sighting.explicit:
        return False
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
        came=page.came,
    )
    identity = (built.type, built.message, built.file, built.line)
    # The same converter failing at each layer on the way out is one failure; a second attempt,
    # whose reasons are others, is one more, and so is one that nobody deals with any more.
    sighting.identity = identity
    sighting.failed = verdict is Verdict.ERROR
    if identity in page.known and _fails_again(sighting, page):
        return False
    page.known.add(identity)
    behind = received.behind(sighting.exc, sighting.tb)
    if behind is not None:
        behind = behind.redacted(redaction.guard.redactor_of(rules.redaction))
        built = built._replace(upstream=behind)
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


def _shortened(entries: list[_Entry], page: Page, rules: Settings) -> list[_Entry]:
    """Return `entries` with records as long as there is room for in a span and its batch."""
    shorter = volume.fitted([entry.record for entry in entries], page.account, rules)
    if shorter is None:
        return entries
    return [entry._replace(record=r) for entry, r in zip(entries, shorter, strict=True)]


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
) -> bool:
    """Put an error on its span; return whether it is there."""
    error = entry.record
    first = False
    if span is not None:
        origin.written(entry.sighting.exc, home, span, error)
    if error.upstream is not None and spans.recording(home):
        span_event.link(home, error)
    if home is not span:
        on_span.write(home, error.sentry_event_id, rules, first=True)
        spans.end_late(home, error, rules.max_description_chars, event=to_spans)
        return True
    if entry.sighting.late or spans.ended(home):
        return spans.has_event(home, entry.whole, rules, entry.sighting.exc)
    if not error.handled and not page.failed:
        page.failed = first = True
        spans.fail(home, entry.whole, rules)
    on_span.write(home, error.sentry_event_id, rules, first=first)
    if to_spans and not spans.has_event(home, entry.whole, rules, entry.sighting.exc):
        span_event.write(home, error, entry.sighting.attributes)
    return True


_to_log = contained(log_event.write)
