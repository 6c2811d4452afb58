"""An exporter as those of many back ends, within which the garbage collector runs."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult


class Locked(SpanExporter):
    """Exports one at a time, by a lock that is not reentrant, and collects while it is held.

    Attributes:
        spans: exported.
        deadlocks: exports that would have waited for themselves.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.spans: list[ReadableSpan] = []
        self.deadlocks = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        # Without a time limit a test that fails would hang.
        if not self._lock.acquire(timeout=5):
            self.deadlocks += 1
            return SpanExportResult.FAILURE
        try:
            gc.collect()
            self.spans += spans
        finally:
            self._lock.release()
        return SpanExportResult.SUCCESS


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep what lies in cycles, until an exporter collects it."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
