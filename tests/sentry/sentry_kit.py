"""The real SDK with a transport that keeps what it is given, and what must hold of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import sentry_sdk
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import format_span_id, format_trace_id
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from contract.telemetry import SpanEvent, error_events

TRACE_URL = "https://jaeger.example/trace/{trace_id}?span={span_id}"
SENTRY_URL = "https://sentry.example/issues/{event_id}"


class Kept(Transport):
    """Keeps the events of each envelope, and the bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []
        self.raw: list[bytes] = []
        self.transactions = 0

    def capture_envelope(self, envelope: Envelope) -> None:
        event = envelope.get_event()
        if event is not None:
            self.events.append(dict(event))
            # As it goes over the wire, without the headers: those name the time of sending.
            self.raw += [item.get_bytes() for item in envelope.items]
        self.transactions += envelope.get_transaction_event() is not None


@contextlib.contextmanager
def initialised(**options: Any) -> Iterator[Kept]:
    """Initialise Sentry for a while."""
    kept = Kept()
    for scope in (sentry_sdk.get_isolation_scope(), sentry_sdk.get_current_scope()):
        # They last as long as the thread, and with them what another test has left there.
        scope.clear_breadcrumbs()
    given = {"include_local_variables": False, **options}
    # Without a release each `init` asks git for one.
    sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", release="shop@1", transport=kept, **given)
    try:
        yield kept
    finally:
        sentry_sdk.get_client().close(timeout=0)
        sentry_sdk.get_global_scope().set_client(None)


def types(event: dict[str, Any]) -> list[str]:
    """Return the exception types of an event, the one that was captured first."""
    return [value["type"] for value in reversed(event["exception"]["values"])]


def mechanism(event: dict[str, Any]) -> dict[str, Any]:
    """Return how the event says it was captured."""
    found: dict[str, Any] = event["exception"]["values"][-1]["mechanism"]
    return found


def frames_of_ours(event: dict[str, Any]) -> list[str]:
    """Return the frames of an event that the app would not have without everylayer."""
    stacks = [value.get("stacktrace") or {} for value in event["exception"]["values"]]
    frames = [one for stack in stacks for one in stack.get("frames", ())]
    return [one["function"] for one in frames if str(one["module"]).startswith("everylayer")]


def by_id(spans: Sequence[ReadableSpan], event: dict[str, Any]) -> ReadableSpan | None:
    """Return the span that an event says it belongs to."""
    trace = event["contexts"]["trace"]
    for span in spans:
        if span.context is not None and (
            format_span_id(span.context.span_id) == trace["span_id"]
            and format_trace_id(span.context.trace_id) == trace["trace_id"]
        ):
            return span
    return None


def loop_problems(spans: Sequence[ReadableSpan], event: dict[str, Any]) -> list[str]:
    """Follow the links from an event to its span and back; return what is wrong."""
    span = by_id(spans, event)
    if span is None or span.context is None:
        return [f"no span for {event['contexts']['trace']}"]
    trace_id, span_id = (
        format_trace_id(span.context.trace_id),
        format_span_id(span.context.span_id),
    )
    otel, tags = event["contexts"].get("otel", {}), event.get("tags") or {}
    found = {
        "context": (otel.get("trace_id"), otel.get("span_id"), otel.get("sampled")),
        "tags": (tags.get("otel.trace_id"), tags.get("otel.span_id"), True),
    }
    wrong = [f"{k}: {v}" for k, v in found.items() if v != (trace_id, span_id, True)]
    wanted = TRACE_URL.format(trace_id=trace_id, span_id=span_id)
    if otel.get("trace_url") != wanted:
        wrong.append(f"trace_url: {otel.get('trace_url')}")
    parent = format_span_id(span.parent.span_id) if span.parent else None
    if otel.get("parent_span_id") != parent:
        wrong.append(f"parent: {otel.get('parent_span_id')}, not {parent}")
    attributes = span.attributes or {}
    if attributes.get("sentry.event_id") != event["event_id"]:
        wrong.append(f"span names {attributes.get('sentry.event_id')}, not {event['event_id']}")
    elif attributes.get("sentry.event_url") != SENTRY_URL.format(event_id=event["event_id"]):
        wrong.append(f"sentry.event_url: {attributes.get('sentry.event_url')}")
    named = [e for e in error_events([span]) if type_of(e) == types(event)[0]]
    for one in named:
        seen = one.event.attributes or {}
        if seen.get("sentry.event_id") != event["event_id"]:
            wrong.append(f"the span's event names {seen.get('sentry.event_id')}")
    return wrong


def type_of(found: SpanEvent) -> str:
    """Return the bare class name of an exception event."""
    return str((found.event.attributes or {}).get("exception.type")).rpartition(".")[2]
