"""A receiver of OTLP over HTTP and gRPC, on the loopback, as strict as a Collector's."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

MIB = 2**20
# What a gRPC server takes unless it is told otherwise, a Collector's too.
LIMIT = 4 * MIB


class Receiver(TraceServiceServicer):  # type: ignore[misc]
    """Keeps each request that it takes; refuses those that are larger than `LIMIT`.

    Attributes:
        sizes: of each request, bytes, those over HTTP that were refused too.
        spans: all that arrived.
    """

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.spans: list[Span] = []
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self._grpc = grpc.server(futures.ThreadPoolExecutor(2))
        add_TraceServiceServicer_to_server(self, self._grpc)
        self._grpc_port = self._grpc.add_insecure_port("127.0.0.1:0")

    def endpoint(self, protocol: str) -> str:
        """Return the endpoint for an exporter of `protocol`, `http` or `grpc`."""
        if protocol == "grpc":
            return f"http://127.0.0.1:{self._grpc_port}"
        return f"http://127.0.0.1:{self._http.server_port}/v1/traces"

    def __enter__(self) -> Receiver:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        self._grpc.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._grpc.stop(None).wait(5)

    def take(self, body: bytes) -> bool:
        """Decode a request, which must hold valid UTF-8 alone, and tell whether it is taken."""
        with self._lock:
            self.sizes.append(len(body))
            if len(body) > LIMIT:
                return False
            self.spans.extend(_spans(ExportTraceServiceRequest.FromString(body)))
        return True

    def Export(self, request: ExportTraceServiceRequest, context: Any) -> Any:  # noqa: N802
        """Take a request over gRPC, whose server has refused a larger one by itself."""
        self.take(request.SerializeToString())
        return ExportTraceServiceResponse()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                self.send_response(200 if receiver.take(body) else 413)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Keep quiet."""

        return Handler


def _spans(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            yield from scope.spans
