"""Trace files: what the SDK's own encoder and the Collector write, and what nobody should."""

from __future__ import annotations

import base64
import gzip
import json
import re
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from everylayer.audit.model import SpanData
from everylayer.audit.report.documents import documents
from everylayer.audit.report.limits import MAX_BYTES, MAX_SPANS, UnreadableError
from everylayer.audit.report.otlp import spans_of
from everylayer.audit.report.page import render_traces

TRACE, SPAN, PARENT = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174", "eee19b7ec3c1b173"


def read(data: bytes | str) -> tuple[SpanData, ...]:
    return spans_of(documents(data.encode() if isinstance(data, str) else data))


def request(*spans: dict[str, Any]) -> dict[str, Any]:
    return {"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}


def span(**given: Any) -> dict[str, Any]:
    return {"traceId": TRACE, "spanId": SPAN, "name": "GET /", **given}


@pytest.fixture(scope="module")
def exported() -> Any:
    """Two traces of a real SDK, as the protobuf message that an exporter sends."""
    store = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "shop"}))
    provider.add_span_processor(SimpleSpanProcessor(store))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("GET /", kind=SpanKind.SERVER) as server:
        server.set_attributes({"n": 2**62, "f": 0.5, "b": True, "l": ["a", "é"], "s": "x"})
        with tracer.start_as_current_span("query", kind=SpanKind.CLIENT):
            pass
        server.record_exception(ValueError("no such order"))
        server.set_status(StatusCode.ERROR, "no such order")
    tracer.start_span("job", kind=SpanKind.CONSUMER).end()
    return encode_spans(store.get_finished_spans())


def with_hex_ids(value: Any) -> Any:
    """Return protobuf's JSON as OTLP wants it: ids in hexadecimal."""
    text = json.dumps(value)
    ids = r'("(?:trace|span|parentSpan)Id": ")([^"]+)'
    return re.sub(ids, lambda m: m[1] + base64.b64decode(m[2]).hex(), text)


@pytest.mark.parametrize("form", ["hex", "base64", "snake_case", "numbers", "gzip", "bom"])
def test_what_an_exporter_sends_is_read_in_each_form(exported: Any, form: str) -> None:
    message = MessageToDict(
        exported,
        preserving_proto_field_name=form == "snake_case",
        use_integers_for_enums=form == "numbers",
    )
    data = (with_hex_ids(message) if form == "hex" else json.dumps(message)).encode()
    data = {"gzip": gzip.compress, "bom": b"\xef\xbb\xbf".__add__}.get(form, bytes)(data)
    query, server, job = read(data)
    assert (server.name, server.kind, server.status) == ("GET /", "SERVER", "ERROR")
    assert (query.kind, query.status, job.kind) == ("CLIENT", "UNSET", "CONSUMER")
    assert (query.parent_id, query.trace_id) == (server.span_id, server.trace_id)
    assert (server.parent_id, server.description) == ("", "no such order")
    assert job.trace_id != server.trace_id
    assert re.fullmatch("[0-9a-f]{32}", server.trace_id)
    assert re.fullmatch("[0-9a-f]{16}", server.span_id)
    assert server.attributes == {
        "service.name": "shop",
        "n": 2**62,
        "f": 0.5,
        "b": True,
        "l": ["a", "é"],
        "s": "x",
    }
    (event,) = server.events
    assert server.start < event.time < server.end
    assert event.name == "exception"
    assert event.attributes["exception.type"] == "ValueError"
    assert "no such order" in event.attributes["exception.stacktrace"]


def test_lines_of_the_collectors_file_exporter_are_read_across_signals(exported: Any) -> None:
    line = with_hex_ids(MessageToDict(exported))
    other = json.dumps({"resourceLogs": [{"scopeLogs": []}]})
    assert len(read(f"{line}\n\n{other}\n{line}\r\n")) == 6
    packed = gzip.compress(line.encode()) + gzip.compress(b"\n" + line.encode())
    assert len(read(packed)) == 6
    assert len(read(f"[{line},{line}]")) == 6


def test_a_resource_without_scopes_and_unknown_fields_are_passed_over() -> None:
    body = request(span(parentSpanId="", flags=257, unheard={"of": [1]}))
    body["resourceSpans"].append({"resource": {}, "schemaUrl": "x"})
    (found,) = read(json.dumps({**body, "more": None}))
    assert found == SpanData("GET /", TRACE, SPAN)


def test_the_scopes_of_older_files_are_read() -> None:
    old = {"resourceSpans": [{"instrumentationLibrarySpans": [{"spans": [span()]}]}]}
    assert [found.span_id for found in read(json.dumps(old))] == [SPAN]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"intValue": "-9223372036854775808"}, -(2**63)),
        ({"intValue": 7}, 7),
        ({"intValue": "seven"}, "seven"),
        ({"doubleValue": "NaN"}, "nan"),
        ({"doubleValue": 1}, 1.0),
        ({"boolValue": False}, False),
        ({"stringValue": ""}, ""),
        ({"bytesValue": "AAEC"}, "AAEC"),
        ({"arrayValue": {}}, []),
        ({"array_value": {"values": [{"string_value": "x"}, {}]}}, ["x", None]),
        ({"kvlistValue": {"values": [{"key": "k", "value": {"intValue": "1"}}]}}, {"k": 1}),
        ({}, None),
    ],
)
def test_each_kind_of_value_is_read(value: dict[str, Any], expected: object) -> None:
    (found,) = read(json.dumps(request(span(attributes=[{"key": "a", "value": value}]))))
    got = found.attributes["a"]
    assert (str(got) if expected == "nan" else got) == expected


def test_what_is_long_is_cut_and_what_is_deep_is_left_out() -> None:
    value: dict[str, Any] = {"stringValue": "end"}
    for _ in range(50):
        value = {"arrayValue": {"values": [value]}}
    attributes = [
        {"key": "deep", "value": value},
        {"key": "long", "value": {"stringValue": "x" * 200_000}},
        {"key": "odd", "value": {"stringValue": "\ud800"}},
    ]
    (found,) = read(json.dumps(request(span(attributes=attributes, kind=99))))
    assert "too deep" in str(found.attributes["deep"])
    assert "end" not in str(found.attributes["deep"])
    assert len(found.attributes["long"]) <= 64 * 1024
    assert found.attributes["odd"] == "\\ud800"
    assert found.kind == "INTERNAL"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "it is empty"),
        (b" \n\t", "it is empty"),
        (b"\x80\x81", "neither text in UTF-8 nor gzip"),
        (b"\x1f\x8b\x08nonsense", "cannot be unpacked"),
        (gzip.compress(b"{}" * 999)[:-9], "cannot be unpacked"),
        (b"{", "line 1 is not JSON"),
        (b'{"resourceSpans": []}\n{"reso', "line 2 is not JSON"),
        (b"<html>", "line 1 is not JSON"),
        (b"[" * 200_000, "nested too deep"),
        (b"9" * 10_000, "too long"),
        (b"17", "no trace in OTLP"),
        (b'["x"]', "no trace in OTLP"),
        (b"{}", "no spans in OTLP JSON"),
        (b'{"data": [{"traceID": "1", "spans": []}]}', "no spans in OTLP JSON"),
        (b'{"resourceSpans": 5}', "resourceSpans is not a list"),
        (b'{"resourceSpans": [5]}', "resourceSpans is not a list"),
        (b'{"resourceSpans": [{"resource": 5}]}', "resource is not an object"),
    ],
)
def test_what_is_no_trace_file_is_refused_in_a_sentence(data: bytes, sentence: str) -> None:
    with pytest.raises(UnreadableError, match=re.escape(sentence)):
        read(data)


@pytest.mark.parametrize(
    "wrong",
    [
        {"traceId": ""},
        {"traceId": "0" * 32},
        {"traceId": "g" * 32},
        {"spanId": 17},
        {"spanId": SPAN * 2},
        {"spanId": "!!!!!!!!!!!="},
        {"parentSpanId": "ab"},
        {"startTimeUnixNano": "yesterday"},
        {"startTimeUnixNano": -1},
        {"endTimeUnixNano": 2**64},
        {"endTimeUnixNano": []},
        {"startTimeUnixNano": float("inf")},
        {"attributes": {"a": 1}},
        {"attributes": [{"key": "a", "value": "plain"}]},
        {"events": [None]},
        {"status": [1]},
    ],
)
def test_a_span_that_makes_no_sense_is_refused_in_a_sentence(wrong: dict[str, Any]) -> None:
    with pytest.raises(UnreadableError, match=r"^it"):
        read(json.dumps(request(span(**wrong))))


def test_sizes_are_bounded() -> None:
    with pytest.raises(UnreadableError, match="larger than 64 MiB"):
        read(gzip.compress(b" " * (MAX_BYTES + 1), 1))
    with pytest.raises(UnreadableError, match="more than 20,000 spans"):
        read(json.dumps(request(*[span()] * (MAX_SPANS + 1))))


KEYS = st.sampled_from(
    [
        *("resourceSpans", "scopeSpans", "spans", "traceId", "spanId", "parentSpanId", "status"),
        *("attributes", "events", "key", "value", "values", "kind", "code", "name", "resource"),
        *("startTimeUnixNano", "end_time_unix_nano", "arrayValue", "kvlist_value", "intValue"),
        *("stringValue", "doubleValue", "boolValue", "bytesValue"),
    ]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=[]), max_size=40)
    | st.sampled_from([TRACE, SPAN, PARENT, "SPAN_KIND_SERVER", "W47/95gDgQPSabYzgT/GDA=="])
)
ANY = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6)
)
SPANS = st.fixed_dictionaries(
    {"traceId": st.just(TRACE), "spanId": st.sampled_from([SPAN, PARENT])},
    optional={
        "parentSpanId": st.sampled_from([SPAN, PARENT, ""]),
        "name": LEAVES,
        "kind": LEAVES,
        "startTimeUnixNano": st.integers(0, 2**64 - 1).map(str),
        "endTimeUnixNano": st.integers(0, 2**64 - 1),
        "status": st.dictionaries(st.sampled_from(["code", "message"]), LEAVES),
        "attributes": st.lists(st.fixed_dictionaries({"key": LEAVES}, optional={"value": ANY})),
        "events": st.lists(st.dictionaries(KEYS, ANY, max_size=3), max_size=3),
    },
)


@settings(max_examples=100, deadline=None)
@given(ANY | st.lists(SPANS, min_size=1, max_size=5).map(lambda spans: request(*spans)))
def test_anything_is_read_and_shown_or_refused(value: Any) -> None:
    try:
        spans = read(json.dumps(value))
    except UnreadableError:
        return
    assert spans
    page = render_traces("x", spans)
    shown = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    assert sum(len(trace["spans"]) for trace in shown["traces"]) == len(spans)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200) | st.binary(max_size=60).map(b"\x1f\x8b".__add__))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(UnreadableError):
        read(data)
