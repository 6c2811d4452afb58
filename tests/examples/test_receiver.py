"""What the stock exporter sends is what the demo reads."""

from __future__ import annotations

import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode

from showcase.receiver import Receiver


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
def test_a_span_arrives(compression: Compression) -> None:
    with Receiver() as receiver:
        exporter = OTLPSpanExporter(f"{receiver.endpoint}/v1/traces", compression=compression)
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        tracer = provider.get_tracer("test")
        with tracer.start_as_current_span("GET /", kind=SpanKind.SERVER) as parent:
            with tracer.start_as_current_span("inner"):
                pass
            error = ValueError("Ü")
            parent.record_exception(error, {"layers": ["outer", "inner"], "index": 1})
            parent.set_status(StatusCode.ERROR, "ValueError: Ü")
        provider.shutdown()
        root, inner = receiver.trace(f"{parent.get_span_context().trace_id:032x}")
    assert (root.name, root.kind, root.status) == ("GET /", "SERVER", "ERROR")
    assert root.description == "ValueError: Ü"
    assert (inner.kind, inner.parent_id) == ("INTERNAL", root.span_id)
    assert [event["exception.type"] for event in root.errors] == ["ValueError"]
    assert root.errors[0]["exception.message"] == "Ü"
    assert root.errors[0].attributes["layers"] == ["outer", "inner"]
    assert root.errors[0].attributes["index"] == 1
