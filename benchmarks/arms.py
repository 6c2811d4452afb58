"""The arms that are compared, and the telemetry of each: all of it real but the last step.

OpenTelemetry runs with a BatchSpanProcessor whose exporter drops what it is given, sentry-sdk
with a transport that does: batching and threads are paid for, encoding and network by nobody.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Literal, Protocol, get_args

Arm = Literal["bare", "stock", "everylayer", "sentry", "sentry-traced"]
ARMS: tuple[Arm, ...] = get_args(Arm)
LABELS: dict[Arm, str] = {
    "bare": "bare",
    "stock": "stock OpenTelemetry",
    "everylayer": "stock + everylayer",
    "sentry": "sentry-sdk, tracing off",
    "sentry-traced": "sentry-sdk, tracing on",
}


class Telemetry(Protocol):
    """What an arm has besides its app."""

    def flush(self) -> None:
        """Hand everything on that is queued: part of the time that is measured."""
        ...

    def taken(self) -> dict[str, int]:
        """Return what arrived since the last call: spans, and events that tell of exceptions."""
        ...


class NoTelemetry:
    """Nothing is recorded."""

    def flush(self) -> None:
        """Do nothing."""

    def taken(self) -> dict[str, int]:
        """Return no spans and no events."""
        return {"spans": 0, "events": 0}


class OpenTelemetry:
    """A tracer provider for the process.

    Args:
        export_ms: how long the exporter takes for a batch.
    """

    def __init__(self, export_ms: float = 0.0) -> None:
        from opentelemetry import trace
        from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
        from opentelemetry.sdk.trace.export import (
            BatchSpanProcessor,
            SpanExporter,
            SpanExportResult,
        )

        class Drop(SpanExporter):
            spans = 0
            events = 0

            def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
                if export_ms:
                    time.sleep(export_ms / 1000)
                self.spans += len(spans)
                for span in spans:
                    self.events += len(span.events)
                return SpanExportResult.SUCCESS

        self._exporter = Drop()
        self.provider = TracerProvider()
        self.provider.add_span_processor(BatchSpanProcessor(self._exporter))
        trace.set_tracer_provider(self.provider)

    def flush(self) -> None:
        """Export what is queued."""
        self.provider.force_flush()

    def taken(self) -> dict[str, int]:
        """Return what the exporter was given since the last call."""
        self.flush()
        found = {"spans": self._exporter.spans, "events": self._exporter.events}
        self._exporter.spans = self._exporter.events = 0
        return found


class Sentry:
    """sentry-sdk with the defaults of its `init`, every transaction sampled if it traces."""

    def __init__(self, *, traces: bool) -> None:
        import sentry_sdk
        from sentry_sdk.envelope import Envelope
        from sentry_sdk.transport import Transport

        counts = {"spans": 0, "events": 0}

        class Drop(Transport):
            def capture_envelope(self, envelope: Envelope) -> None:
                for item in envelope.items:
                    if item.type == "transaction":
                        counts["spans"] += 1
                    elif item.type == "event":
                        counts["events"] += 1

        self._counts = counts
        options: dict[str, Any] = {"traces_sample_rate": 1.0} if traces else {}
        sentry_sdk.init(dsn="http://public@127.0.0.1:9/1", transport=Drop, **options)

    def flush(self) -> None:
        """Do nothing: the transport is called at once."""

    def taken(self) -> dict[str, int]:
        """Return the envelope items since the last call."""
        found = dict(self._counts)
        self._counts.update(spans=0, events=0)
        return found


def start(arm: Arm, export_ms: float = 0.0) -> Telemetry:
    """Set up what `arm` needs in this process, before its app is built."""
    if arm == "bare":
        return NoTelemetry()
    if arm in ("sentry", "sentry-traced"):
        return Sentry(traces=arm == "sentry-traced")
    return OpenTelemetry(export_ms)
