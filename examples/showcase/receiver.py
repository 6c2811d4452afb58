"""A receiver of OTLP over HTTP: the only place the demo learns from what a span shows."""

from __future__ import annotations

import gzip
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status as WireStatus

EVENT = "exception"


@dataclass(frozen=True)
class Event:
    """An event of a span."""

    name: str
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, key: str) -> str:
        return str(self.attributes.get(key, ""))


@dataclass(frozen=True)
class Span:
    """A span as it arrived; ids in hexadecimal, kind and status by name."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: str
    status: str
    description: str
    start_ns: int
    end_ns: int
    events: tuple[Event, ...] = ()

    @property
    def errors(self) -> tuple[Event, ...]:
        """The exception events."""
        return tuple(event for event in self.events if event.name == EVENT)


class Receiver:
    """Keeps what is exported to it, by trace."""

    def __init__(self) -> None:
        self._traces: dict[str, list[Span]] = defaultdict(list)
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def endpoint(self) -> str:
        """Value for `OTEL_EXPORTER_OTLP_ENDPOINT`."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def trace(self, trace_id: str) -> list[Span]:
        """Return the spans of one trace, in order of their start."""
        with self._lock:
            return sorted(self._traces[trace_id], key=lambda span: span.start_ns)

    def keep(self, body: bytes) -> None:
        """Take one export request."""
        for span in decode(body):
            with self._lock:
                self._traces[span.trace_id].append(span)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                if self.path == "/v1/traces":
                    receiver.keep(body)
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Keep the terminal for the tables."""

        return Handler


def decode(body: bytes) -> Iterable[Span]:
    """Yield the spans of an export request."""
    request = ExportTraceServiceRequest.FromString(body)
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield _span(span)


def _span(wire: WireSpan) -> Span:
    return Span(
        trace_id=wire.trace_id.hex(),
        span_id=wire.span_id.hex(),
        parent_id=wire.parent_span_id.hex(),
        name=wire.name,
        kind=WireSpan.SpanKind.Name(wire.kind).removeprefix("SPAN_KIND_"),
        status=WireStatus.StatusCode.Name(wire.status.code).removeprefix("STATUS_CODE_"),
        description=wire.status.message,
        start_ns=wire.start_time_unix_nano,
        end_ns=wire.end_time_unix_nano,
        events=tuple(Event(event.name, _attributes(event.attributes)) for event in wire.events),
    )


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(wire: AnyValue) -> Any:
    kind = wire.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in wire.array_value.values]
    return getattr(wire, kind) if kind else None
