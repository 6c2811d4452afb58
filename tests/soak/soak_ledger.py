"""Who was asked for what, and whether the trace of each request says so: exactly once, on it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, fields

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import StatusCode

from contract.responses import Run
from contract.telemetry import error_events, late_spans, server_spans, tree
from kit_faults import message

_numbers = itertools.count(1)
_EXAMPLES = 5


@dataclass
class Counts:
    """What happened to the requests of one worker, or of all.

    Attributes:
        requests: requests served.
        errors: of those, with an error.
        lost: errors without an event.
        doubled: errors with more than one.
        crossed: events of another request.
        invented: events on a request that works.
        misplaced: events on a span that is not the request's, or with the wrong status.
        spans: requests without exactly one server span.
        answers: responses that are not those of the bare app.
    """

    requests: int = 0
    errors: int = 0
    lost: int = 0
    doubled: int = 0
    crossed: int = 0
    invented: int = 0
    misplaced: int = 0
    spans: int = 0
    answers: int = 0

    def add(self, other: Counts) -> None:
        """Add what another worker counted."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))

    @property
    def wrong(self) -> int:
        """How much is wrong, of any kind."""
        return sum(getattr(self, one.name) for one in fields(self)[2:])


class Witness(SpanExporter):
    """Takes every span, by trace; the worker that made the request asks for its own.

    Attributes:
        examples: the first few traces that were wrong, drawn.
    """

    def __init__(self) -> None:
        self._traces: dict[int, list[ReadableSpan]] = {}
        self.examples: list[str] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for span in spans:
            self._traces.setdefault(span.context.trace_id, []).append(span)
        return SpanExportResult.SUCCESS

    @property
    def unclaimed(self) -> int:
        """Traces that no request asked for, or that grew after it had."""
        return len(self._traces)

    def judge(self, number: int, kind: str, counts: Counts) -> None:
        """Count what the trace of request `number` shows."""
        spans = self._traces.pop(number, [])
        before = counts.wrong
        servers = server_spans(spans)
        counts.requests += 1
        counts.spans += len(servers) != 1
        events = error_events(spans)
        if kind == "ok":
            counts.invented += len(events)
        else:
            counts.errors += 1
            wanted = message(kind, str(number))
            found = [e for e in events if (e.event.attributes or {})["exception.message"] == wanted]
            counts.lost += not found
            counts.doubled += len(found) > 1
            counts.crossed += len(events) - len(found)
            right = StatusCode.UNSET if kind == "swallowed" else StatusCode.ERROR
            counts.misplaced += any(
                e.span not in (*servers, *late_spans(spans)) or e.span.status.status_code != right
                for e in found
            )
        if counts.wrong != before and len(self.examples) < _EXAMPLES:
            self.examples.append(f"request {number}, {kind}:\n{tree(spans)}")


def next_request() -> tuple[int, tuple[str, str]]:
    """Return a number that no other request has, and the header that makes it the trace's id."""
    number = next(_numbers)
    return number, ("traceparent", f"00-{number:032x}-{number:016x}-01")


def told(run: Run) -> tuple[int | None, str | None]:
    """Return what is the same in each answer to requests of one kind."""
    return run.status, run.raised.type.__name__ if run.raised else None
