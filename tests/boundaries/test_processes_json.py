"""Error records as JSON: round trip, versions, bounds, and what a consumer does with one."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.trace import StatusCode

import away_work
import everylayer
from contract.telemetry import Telemetry, error_events, session
from everylayer import failsafe
from everylayer.boundaries.arrival import Arrival
from everylayer.boundaries.error_context import ErrorContext, Hop
from everylayer.boundaries.received import Received
from everylayer.error_record import Cause, ErrorRecord
from everylayer.layers import Layer
from everylayer.record_json import MAX_BYTES, RecordError

SCHEMA = Path(__file__).parents[2] / "docs/schema/error-record-v1.json"


@pytest.fixture
def telemetry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Telemetry]:
    counts: dict[str, int] = {}
    monkeypatch.setattr(failsafe, "_counts", counts)
    with session() as found:
        yield found
    assert counts == {}


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
numbers = st.integers(0, 2**63 - 1)
counts = st.integers(0, 9999)
idents = st.from_regex(r"[A-Za-z0-9._:/+=~-]{0,128}", fullmatch=True)
hops = st.lists(
    st.builds(
        Hop,
        type=st.text("shop.Sold", min_size=1),
        layer=texts,
        service=texts,
        trace_id=st.sampled_from(["", "4bf92f3577b34da6a3ce929d0e0e4736"]),
        span_id=st.sampled_from(["", "00f067aa0ba902b7"]),
        attempt=counts,
        message=texts,
    ),
    min_size=1,
    max_size=8,
).map(tuple)
records = st.builds(
    ErrorRecord,
    type=texts,
    message=texts,
    stacktrace=texts,
    function=texts,
    file=texts,
    line=numbers,
    causes=st.lists(
        st.builds(Cause, st.sampled_from(["cause", "context", "member"]), texts, texts), max_size=5
    ).map(tuple),
    layer=st.builds(Layer, texts, texts, st.none() | numbers),
    phase=texts,
    handled=st.booleans(),
    time_ns=numbers,
    sentry_event_id=texts,
    variables=texts,
    upstream=st.none() | st.builds(Received, st.builds(ErrorContext, hops, counts), counts),
    came=st.none() | st.builds(Arrival, idents, counts, st.booleans(), st.just("")),
    tenant=st.from_regex(r"([A-Za-z0-9][A-Za-z0-9._:@-]{0,127})?", fullmatch=True),
)


@settings(max_examples=30, deadline=None)
@given(records)
def test_a_record_comes_back_as_it_was(record: ErrorRecord) -> None:
    sent = everylayer.error_to_json(record)
    assert everylayer.error_from_json(sent) == (record, None)
    assert everylayer.error_from_json(sent.encode()).record == record


def test_what_is_written_fits_the_schema_and_nothing_of_it_is_undescribed(
    telemetry: Telemetry,
) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(SCHEMA.read_text())
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    sent, _ = sent_by(telemetry)
    record = everylayer.error_from_json(sent).record._replace(
        came=Arrival("a-1", 2, True),
        upstream=Received(ErrorContext((Hop("stock.Locked"),)), 3),
        tenant="acme",
    )
    written = json.loads(everylayer.error_to_json(record))
    written["origin"] = json.loads(sent)["origin"]
    validator.validate(written)
    assert set(written) == set(schema["properties"])
    for name in ("layer", "origin", "came", "upstream"):
        assert set(written[name]) == set(schema["properties"][name]["properties"])
    hop = schema["properties"]["upstream"]["properties"]["hops"]["items"]["properties"]
    assert set(written["upstream"]["hops"][0]) == set(hop)
    assert set(written["causes"][0]) == set(schema["properties"]["causes"]["items"]["properties"])
    for name, value in FIELDS.items():
        if name != "origin":
            assert not validator.is_valid({**written, name.partition(".")[0]: value}), name


def sent_by(telemetry: Telemetry) -> tuple[str, Any]:
    tracer = telemetry.provider.get_tracer("producer")
    with tracer.start_as_current_span("produce") as span:
        try:
            away_work.chain()
        except away_work.Needs as exc:
            return everylayer.error_to_json(exc, layer="billing"), span.get_span_context()
    raise AssertionError


def test_an_exception_is_sent_with_its_chain_and_its_span(telemetry: Telemetry) -> None:
    sent, span = sent_by(telemetry)
    record, origin = everylayer.error_from_json(sent)
    assert record.type == "away_work.Needs"
    assert record.message == "needs 3: a cause"
    assert record.causes == (Cause("cause", "ValueError", "context of the cause"),)
    assert record.layer == Layer("billing", "app")
    assert "direct cause" in record.stacktrace
    assert origin is not None
    assert (origin.trace_id, origin.span_id) == (span.trace_id, span.span_id)


def test_secrets_are_not_sent() -> None:
    sent = everylayer.error_to_json(ValueError("card 4111 1111 1111 1111 refused"))
    assert "4111" not in sent
    assert "[card]" in sent


def test_a_later_minor_version_is_read_and_another_major_one_is_refused() -> None:
    found = json.loads(everylayer.error_to_json(ValueError("x")))
    found.update(version="1.9", severity="bad", layer={**found["layer"], "team": "shop"})
    assert everylayer.error_from_json(json.dumps(found)).record.message == "x"
    for version in ("2.0", "0.9", "11.0", "", None, 1):
        found["version"] = version
        with pytest.raises(RecordError, match=r"reads version 1\.x"):
            everylayer.error_from_json(json.dumps(found))


def changed(**values: Any) -> str:
    return json.dumps({**json.loads(everylayer.error_to_json(ValueError("x"))), **values})


_PLAIN = json.loads(changed())
BAD = {
    "not json": "{",
    "deep": "[" * 100_000,
    "a list": "[]",
    "another schema": '{"schema": "other"}',
    "a huge number": '{"schema": ' + "9" * 10_000 + "}",
}
FIELDS = {
    "type": 3,
    "message": None,
    "stacktrace": [],
    "line": -1,
    "handled": "no",
    "layer": "shop",
    "causes": "none",
    "time_unix_nano": "²",
    "phase": {},
    "origin": {"trace_id": "0" * 32, "span_id": "0" * 16},
    "tenant": "not a tenant",
    "variables": 1,
    "came": {"attempt": -1},
    "came.request_id": {"request_id": "a b"},
    "came.trusted": {"trusted": "yes"},
    "upstream": {"hops": []},
    "upstream.hops": {"hops": [{"type": "E"}] * 9},
    "upstream.hops.type": {"hops": [{"type": 3}]},
    "upstream.hops.trace_id": {"hops": [{"type": "E", "trace_id": "x"}]},
    "upstream.hops.attempt": {"hops": [{"type": "E", "attempt": 10_000}]},
    "upstream.more": {"hops": [{"type": "E"}], "more": True},
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_what_is_no_record_is_refused(data: str) -> None:
    with pytest.raises(RecordError):
        everylayer.error_from_json(data)


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_of_another_kind_is_named(name: str) -> None:
    with pytest.raises(RecordError, match=f"`{name}"):
        everylayer.error_from_json(changed(**{name.partition(".")[0]: FIELDS[name]}))


def test_what_is_read_is_bounded() -> None:
    with pytest.raises(RecordError, match="bytes"):
        everylayer.error_from_json(" " * (MAX_BYTES + 1))
    cause = {"relation": "cause", "type": "E", "message": "m"}
    record = everylayer.error_from_json(
        changed(message="m" * 500_000, causes=[cause] * 1000)
    ).record
    assert len(record.message.encode()) <= 65_536
    assert len(record.causes) == 64
    broken = everylayer.error_from_json(changed(message="\ud800")).record.message
    assert broken.encode() == b"\\ud800"


@settings(max_examples=30, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | texts,
        lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    ),
    st.sampled_from(
        ["type", "layer", "causes", "origin", "line", "version", "came", "upstream", "tenant"]
    ),
)
def test_nothing_but_a_record_error_is_raised(value: Any, name: str) -> None:
    with contextlib.suppress(RecordError):
        everylayer.error_from_json(json.dumps({**_PLAIN, name: value}))


def test_a_consumer_records_it_with_a_link_to_where_it_was(telemetry: Telemetry) -> None:
    sent, origin = sent_by(telemetry)
    telemetry.clear()
    received = everylayer.error_from_json(sent)
    tracer = telemetry.provider.get_tracer("consumer")
    with tracer.start_as_current_span("consume"):
        everylayer.record_remote(received)
    everylayer.record_remote(received, handled=False)
    consumed, alone = telemetry.spans
    assert (consumed.name, alone.name) == ("consume", "billing (received)")
    assert consumed.status.is_unset
    assert alone.status.status_code is StatusCode.ERROR
    for found in error_events(telemetry.spans):
        values = found.event.attributes or {}
        assert values["exception.type"] == "away_work.Needs"
        assert values["everylayer.exception.chain"] == ("cause: ValueError",)
        assert values["everylayer.remote"] is True
        assert values["everylayer.origin.trace_id"] == format(origin.trace_id, "032x")
        (link,) = found.span.links
        assert link.context.span_id == origin.span_id


def test_what_another_service_forgot_to_redact_stays_out(telemetry: Telemetry) -> None:
    data = changed(message="card 4111 1111 1111 1111")
    with telemetry.provider.get_tracer("consumer").start_as_current_span("consume"):
        everylayer.record_remote(everylayer.error_from_json(data))
    (found,) = error_events(telemetry.spans)
    assert (found.event.attributes or {})["exception.message"] == "card [card]"


def test_the_tenant_and_what_a_service_said_go_along_and_are_redacted(
    telemetry: Telemetry,
) -> None:
    with everylayer.use_tenant("acme"):
        found = json.loads(everylayer.error_to_json(ValueError("x")))
    assert found["tenant"] == "acme"
    hop = {"type": "stock.Locked", "service": "stock", "message": "card 4111 1111 1111 1111"}
    hop["trace_id"], hop["span_id"] = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    found.update(upstream={"hops": [hop], "attempts": 2}, variables="pan = 4111 1111 1111 1111")
    received = everylayer.error_from_json(json.dumps(found))
    with telemetry.provider.get_tracer("consumer").start_as_current_span("consume"):
        everylayer.record_remote(received)
    (event,) = error_events(telemetry.spans)
    values = event.event.attributes or {}
    assert values["app.tenant.id"] == "acme"
    assert values["everylayer.upstream.service"] == "stock"
    assert values["everylayer.upstream.attempts"] == 2
    assert "4111" not in repr(values)
