"""Did a run arrive whole? What chaos put, held against the spans that were exported."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..audit.model import SpanData, SpanEvent
from .journal import Entry, Injected, Seen

MAX_DEVIATION = 0.02

_EVENT = "exception"
_STATUS_KEYS = ("http.response.status_code", "http.status_code")


@dataclass(frozen=True)
class Check:
    """One of the questions.

    Attributes:
        measured, wanted: as people read them.
        failed: what is to blame, trace ids or tokens of faults.
    """

    name: str
    measured: str
    wanted: str
    ok: bool
    failed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Integrity:
    """What came of a run.

    Attributes:
        requests: how many came by, of those that are to be exported.
        faults: how many of them were failed on purpose, each fault counted.
        spans_expected, spans_found: server spans, one a request; or all spans, where whoever asks
            knows how many there must be.
        deviation: of the second from the first, as a share of the first.
        checks: the questions and their answers.
    """

    requests: int
    faults: int
    spans_expected: int
    spans_found: int
    deviation: float
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return all(check.ok for check in self.checks)

    @property
    def exit_code(self) -> int:
        """What a command ends with."""
        return 0 if self.ok else 1

    def to_json(self) -> dict[str, Any]:
        """Return what `json.dumps` takes."""
        return {"ok": self.ok, **dataclasses.asdict(self)}


def check(
    journal: Iterable[Entry],
    spans: Iterable[SpanData],
    *,
    expected_spans: int | None = None,
    max_deviation: float = MAX_DEVIATION,
) -> Integrity:
    """Hold the spans of a run against its journal; what was not sampled is left out.

    Args:
        journal: what chaos saw and put.
        spans: what was exported; of other requests too, which do not count.
        expected_spans: how many spans there must be in all; by default one server span a request.
        max_deviation: by how much their number may differ, as a share.
    """
    entries = [entry for entry in journal if entry.sampled]
    seen: dict[str, set[str]] = {entry.trace_id: set() for entry in entries}
    for entry in entries:
        if isinstance(entry, Seen) and entry.span_id:
            seen[entry.trace_id].add(entry.span_id)
    faults = [entry for entry in entries if isinstance(entry, Injected)]
    traces: dict[str, list[SpanData]] = defaultdict(list)
    total = 0
    for span in spans:
        total += 1
        if span.trace_id in seen:
            traces[span.trace_id].append(span)
    requests = sum(max(1, len(ids)) for ids in seen.values())
    if expected_spans is None:
        expected = requests
        found = sum(len(servers_of(traces[trace], ids)) for trace, ids in seen.items())
    else:
        expected, found = expected_spans, total
    deviation = abs(found - expected) / expected if expected else float(found > 0)
    lost = tuple(sorted(trace for trace in seen if not traces[trace]))
    missing = tuple(each.token for each in faults if not _holders(each, traces[each.trace_id]))
    wrong = tuple(
        each.token
        for each in faults
        if not passed_through(each, traces[each.trace_id], seen[each.trace_id])
    )
    return Integrity(
        requests,
        len(faults),
        expected,
        found,
        deviation,
        (
            Check(
                "span count deviation",
                f"{deviation:.2%} ({found} of {expected})",
                f"<= {max_deviation:.0%}" if max_deviation >= 0.01 else f"<= {max_deviation:.2%}",
                deviation <= max_deviation,
            ),
            Check("lost trace ids", str(len(lost)), "0", not lost, lost),
            _share("errors on their trace", faults, missing),
            _share("error status passed through", faults, wrong),
            Check("something to check", str(requests), ">= 1", requests > 0),
        ),
    )


def _share(name: str, faults: Sequence[Injected], failed: tuple[str, ...]) -> Check:
    passed = len(faults) - len(failed)
    share = passed / len(faults) if faults else 1.0
    return Check(name, f"{share:.2%} ({passed} of {len(faults)})", "100%", not failed, failed)


def servers_of(spans: Sequence[SpanData], known: set[str]) -> list[SpanData]:
    """Return the server spans that stand for the requests of one trace.

    Args:
        spans: all of the trace.
        known: ids of their server spans; where none is, that of another service called from within
            does not count.
    """
    servers = [span for span in spans if span.kind == "SERVER"]
    if known:
        return [span for span in servers if span.span_id in known]
    inside = {span.span_id for span in spans}
    return [span for span in servers if span.parent_id not in inside]


def passed_through(fault: Injected, spans: Sequence[SpanData], known: set[str]) -> bool:
    """Tell whether the trace says of a fault what came of it.

    An error that nobody dealt with makes an ERROR of the span that it is on, and so does any
    answer of 500 or more; one that was dealt with does not.
    """
    holders = _holders(fault, spans)
    if not holders:
        return False
    span, event = holders[0]
    servers = servers_of(spans, known)
    answered = status_of(span) or next(filter(None, map(status_of, servers)), None)
    # What leaves the app has no answer: the server makes one, of 500.
    found = fault.status if answered is None and (fault.status or 0) >= 500 else answered
    if fault.status is not None and found != fault.status:
        return False
    handled = event.attributes.get("everylayer.handled")
    if handled is None:
        handled = span.kind == "SERVER" and answered is not None and answered < 500
    if not handled or (answered or 0) >= 500:
        return span.status == "ERROR"
    return span.status != "ERROR" or any(
        other.attributes.get("everylayer.handled") is False for other in span.events
    )


def _holders(fault: Injected, spans: Sequence[SpanData]) -> list[tuple[SpanData, SpanEvent]]:
    return [
        (span, event)
        for span in spans
        for event in span.events
        if event.name == _EVENT and _names(event.attributes, fault.token)
    ]


def _names(attributes: Mapping[str, Any], token: str) -> bool:
    # A message that an app's class makes of its own may not repeat ours; its stack may.
    return any(
        token in str(attributes.get(key, ""))
        for key in ("exception.message", "exception.stacktrace")
    )


def status_of(span: SpanData) -> int | None:
    """Return the status of the response that `span` tells of."""
    for key in _STATUS_KEYS:
        value = span.attributes.get(key)
        if isinstance(value, int):
            return value
    return None
