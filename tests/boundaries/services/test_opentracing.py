"""OpenTracing-style keys beside W3C: both ways, whatever comes in."""

from __future__ import annotations

import string
import subprocess
import sys
from importlib.metadata import entry_points
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry import baggage, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import everylayer
from contract.telemetry import Telemetry

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
PEERS = ["10.0.0.0/8"]
ids_64 = st.integers(1, 2**64 - 1)
trace_ids = ids_64 | st.integers(1, 2**128 - 1)
keys = st.text(string.ascii_lowercase + string.digits + "_.-", min_size=1, max_size=20).filter(
    lambda key: not key.endswith("-bin")
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ODD = ["", "xyz", "0" * 16, "1" * 33, "-1", "0x1f", "1 2", "1,2", "é", "\u0661"]


def made(**more: Any) -> everylayer.OpenTracingPropagator:
    return everylayer.OpenTracingPropagator(trusted_peers=PEERS, baggage_keys=["*"], **more)


def scope(headers: dict[str, str], peer: str = "10.1.2.3") -> dict[str, Any]:
    pairs = [(key.encode("latin-1"), value.encode("latin-1")) for key, value in headers.items()]
    return {"type": "http", "client": (peer, 1), "headers": pairs}


def span_in(context: Context) -> SpanContext:
    return trace.get_current_span(context).get_span_context()


def counted(before: dict[str, int]) -> dict[str, int]:
    now = everylayer.malformed_input()
    return {key: n - before.get(key, 0) for key, n in now.items() if n != before.get(key, 0)}


def sent(ids: SpanContext, context: Context | None = None) -> dict[str, str]:
    headers: dict[str, str] = {}
    made().inject(headers, trace.set_span_in_context(NonRecordingSpan(ids), context or Context()))
    return headers


@unhurried
@given(trace_ids, ids_64, st.booleans(), st.dictionaries(keys, texts, max_size=8))
def test_what_goes_out_comes_in(
    trace_id: int, span_id: int, sampled: bool, entries: dict[str, str]
) -> None:
    before = dict(everylayer.malformed_input())
    context = Context()
    for key, value in entries.items():
        context = baggage.set_baggage(key, value, context)
    headers = sent(SpanContext(trace_id, span_id, False, TraceFlags(sampled)), context)
    assert all(value.isascii() and value.isprintable() for value in headers.values())
    found = made().extract(scope(headers), Context())
    ids = span_in(found)
    assert (ids.trace_id, ids.span_id, ids.trace_flags.sampled) == (trace_id, span_id, sampled)
    assert ids.is_remote
    assert baggage.get_all(found) == entries
    assert counted(before) == {}


@unhurried
@given(trace_ids, ids_64, ids_64, st.booleans())
def test_who_only_hands_it_on_changes_nothing(
    trace_id: int, span_id: int, parent_id: int, sampled: bool
) -> None:
    wide = 16 if trace_id < 2**64 else 32
    headers = {
        "ot-trace-id": f"{trace_id:0{wide}x}",
        "ot-span-id": f"{span_id:016x}",
        "ot-parent-span-id": f"{parent_id:016x}",
        "ot-sampled": "true" if sampled else "false",
    }
    onward: dict[str, str] = {}
    made().inject(onward, made().extract(headers, Context()))
    assert onward == headers


@unhurried
@given(
    st.dictionaries(
        st.sampled_from(
            ["ot-trace-id", "ot-span-id", "ot-parent-span-id", "ot-sampled", "ot-baggage-a"]
        )
        | st.text(max_size=20),
        st.text(max_size=60) | st.binary(max_size=60) | st.sampled_from(ODD),
        max_size=6,
    )
)
def test_nothing_that_comes_in_can_fail(headers: dict[str, Any]) -> None:
    before = dict(everylayer.own_failures())
    found = made().extract(headers, Context())
    ids = span_in(found)
    assert ids == trace.INVALID_SPAN_CONTEXT or ids.is_valid
    assert dict(everylayer.own_failures()) == before


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("field", ["ot-trace-id", "ot-span-id", "ot-parent-span-id", "ot-sampled"])
def test_malformed_values_are_ignored_and_counted(field: str, odd: str) -> None:
    headers = {"ot-trace-id": "ab" * 8, "ot-span-id": "cd" * 8, field: odd}
    before = dict(everylayer.malformed_input())
    ids = span_in(made().extract(headers, Context()))
    assert counted(before) == {field: 1}
    needed = field in ("ot-trace-id", "ot-span-id")
    assert ids.is_valid is not needed
    assert needed or ids.trace_flags.sampled


def test_one_id_without_the_other_is_malformed() -> None:
    before = dict(everylayer.malformed_input())
    assert not span_in(made().extract({"ot-trace-id": "ab"}, Context())).is_valid
    assert not span_in(made().extract({"ot-span-id": "ab"}, Context())).is_valid
    assert not span_in(made().extract({}, Context())).is_valid
    assert counted(before) == {"ot-span-id": 1, "ot-trace-id": 1}


def test_a_field_sent_twice_with_other_values_is_none() -> None:
    headers = [(b"ot-trace-id", b"ab"), (b"ot-trace-id", b"cd"), (b"ot-span-id", b"1")]
    carrier = {"type": "http", "client": None, "headers": headers}
    assert not span_in(made().extract(carrier, Context())).is_valid


@pytest.mark.parametrize(("said", "sampled"), [("1", True), ("0", False), ("False", False)])
def test_the_other_spellings_of_a_decision(said: str, sampled: bool) -> None:
    headers = {"ot-trace-id": "AB", "ot-span-id": "1", "ot-sampled": said}
    ids = span_in(made().extract(headers, Context()))
    assert (ids.trace_id, ids.trace_flags.sampled) == (0xAB, sampled)


def test_the_parent_of_a_span_of_the_sdk_goes_along(telemetry: Telemetry) -> None:
    tracer = trace.get_tracer("test")
    with tracer.start_as_current_span("outer") as outer, tracer.start_as_current_span("inner"):
        headers: dict[str, str] = {}
        made().inject(headers)
    assert headers["ot-parent-span-id"] == f"{outer.get_span_context().span_id:016x}"
    assert set(headers) == made().fields


def composed() -> CompositePropagator:
    return CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator(), made()])


def test_w3c_counts_where_both_have_come() -> None:
    headers = sent(SpanContext(7, 8, False)) | {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
    assert span_in(composed().extract(headers)).trace_id == int("ab" * 16, 16)


@pytest.mark.parametrize("broken", [None, "00-mangled-01"])
def test_ot_counts_where_w3c_says_nothing(broken: str | None) -> None:
    headers = sent(SpanContext(7, 8, False)) | ({"traceparent": broken} if broken else {})
    ids = span_in(composed().extract(headers))
    assert (ids.trace_id, ids.span_id) == (7, 8)


def test_both_go_out() -> None:
    headers: dict[str, str] = {}
    remote = NonRecordingSpan(SpanContext(7, 8, True, TraceFlags(1)))
    composed().inject(headers, trace.set_span_in_context(remote, Context()))
    assert headers["traceparent"] == f"00-{7:032x}-{8:016x}-01"
    assert (headers["ot-trace-id"], headers["ot-span-id"]) == (f"{7:016x}", f"{8:016x}")


def test_baggage_is_held_to_the_settings() -> None:
    headers = {"ot-baggage-plan": "a%20b", "OT-Baggage-App.Tenant": "c", "ot-baggage-secret": "d"}
    own = everylayer.OpenTracingPropagator(trusted_peers=PEERS, baggage_keys=["plan", "app.*"])
    assert baggage.get_all(own.extract(scope(headers), Context())) == {
        "plan": "a b",
        "app.tenant": "c",
    }
    assert not baggage.get_all(own.extract(scope(headers, "192.0.2.1"), Context()))
    assert not baggage.get_all(own.extract(headers, Context()))
    out: dict[str, str] = {}
    context = baggage.set_baggage("secret", "d", baggage.set_baggage("plan", "e", Context()))
    own.inject(out, context)
    assert out == {"ot-baggage-plan": "e"}


def test_baggage_is_bounded_both_ways() -> None:
    context = Context()
    for n in range(200):
        context = baggage.set_baggage(f"k{n:03}", "x" * 100, context)
    context = baggage.set_baggage("long", "x" * 5000, context)
    context = baggage.set_baggage("Capital", "x", baggage.set_baggage("a-bin", "x", context))
    out: dict[str, str] = {}
    made().inject(out, context)
    assert len(out) == 64
    assert sum(len(key) + len(value) for key, value in out.items()) <= 8192
    assert {"ot-baggage-long", "ot-baggage-Capital", "ot-baggage-a-bin"}.isdisjoint(out)
    flood = {f"ot-baggage-k{n:04}": "x" * 100 for n in range(5000)}
    assert len(baggage.get_all(made().extract(scope(flood), Context()))) == 64


def test_of_a_flood_of_headers_the_first_are_looked_at() -> None:
    flood = {f"x-{n}": "" for n in range(1020)} | {f"ot-baggage-k{n}": "x" for n in range(10)}
    found = baggage.get_all(made().extract(scope(flood), Context()))
    assert found == {f"k{n}": "x" for n in range(4)}


def test_malformed_baggage_goes_by_itself_and_is_counted() -> None:
    before = dict(everylayer.malformed_input())
    headers = {"ot-baggage-a": "\u00e9", "ot-baggage-b": "fine", "ot-baggage-": "x"}
    found = made().extract(scope(headers), Context())
    assert baggage.get_all(found) == {"b": "fine"}
    assert counted(before) == {"ot-baggage-*": 2}


@pytest.mark.skipif(
    not entry_points(group="opentelemetry_propagator", name="everylayer-ot"),
    reason="installed before there was the entry point",
)
def test_the_variable_composes_it_with_the_others() -> None:
    code = "from opentelemetry import propagate as p; print(p.get_global_textmap().__dict__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={
            "OTEL_PROPAGATORS": "tracecontext,baggage,everylayer-ot",
            "PYTHONPATH": ":".join(sys.path),
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "everylayer.boundaries.opentracing.OpenTracingPropagator" in done.stdout
