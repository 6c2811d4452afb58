"""The span's ids and baggage in metadata: as text, in OpenTracing's keys, and as bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry import baggage, propagate, trace
from opentelemetry.context import Context
from opentelemetry.instrumentation.grpc import GrpcAioInstrumentorClient, GrpcInstrumentorClient
from opentelemetry.instrumentation.grpc._client import _carrier_setter
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import (
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import everylayer
from contract.telemetry import Telemetry, server_span
from everylayer_grpc import BinaryPropagator
from everylayer_grpc.binary import KEY, decode, encode
from grpc_cases import SHAPES
from grpc_pair import KINDS, innermost, layers, send

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
HERE = ["127.0.0.0/8", "::1"]
kinds = pytest.mark.parametrize("kind", KINDS)


def remote(trace_id: int, span_id: int, flags: int = 1) -> SpanContext:
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))


def span_in(found: Context) -> SpanContext:
    return trace.get_current_span(found).get_span_context()


@unhurried
@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.integers(0, 255))
def test_bytes_come_in_as_they_went_out(trace_id: int, span_id: int, flags: int) -> None:
    ids = remote(trace_id, span_id, flags)
    assert len(encode(ids)) == 29
    assert decode(encode(ids)) == ids
    carrier: dict[str, Any] = {}
    inside = trace.set_span_in_context(NonRecordingSpan(ids), Context())
    BinaryPropagator().inject(carrier, inside, _carrier_setter)
    assert carrier == {KEY: encode(ids)}
    assert span_in(BinaryPropagator().extract(carrier, Context())) == ids


def test_the_layout_is_that_of_grpc_trace_bin() -> None:
    data = encode(remote(int("11" * 16, 16), int("22" * 8, 16)))
    assert data == b"\0\0" + b"\x11" * 16 + b"\x01" + b"\x22" * 8 + b"\x02\x01"


@unhurried
@given(st.binary(max_size=64) | st.lists(st.none() | st.text() | st.integers(), max_size=5))
def test_nothing_that_comes_in_can_fail(value: Any) -> None:
    before = dict(everylayer.own_failures())
    ids = span_in(BinaryPropagator().extract({KEY: value}, Context()))
    assert ids == trace.INVALID_SPAN_CONTEXT or ids.is_valid
    assert dict(everylayer.own_failures()) == before


GOOD = encode(remote(7, 8))


@pytest.mark.parametrize(
    "value",
    [
        b"\1" + GOOD[1:],
        GOOD[:28],
        GOOD[:20],
        GOOD[:1],
        b"\0\1" + bytes(8) + b"\0" + bytes(16),
        encode(SpanContext(0, 8, True)),
        encode(SpanContext(7, 0, True)),
        "a text",
    ],
)
def test_malformed_bytes_are_ignored_and_counted(value: Any) -> None:
    before = everylayer.malformed_input().get(KEY, 0)
    assert not span_in(BinaryPropagator().extract({KEY: value}, Context())).is_valid
    assert everylayer.malformed_input()[KEY] == before + 1


def test_fields_of_a_later_version_are_not_read() -> None:
    assert decode(GOOD + b"\x03more") == remote(7, 8)
    assert decode(GOOD[:27]) == remote(7, 8, 0)


def test_only_grpc_is_given_bytes() -> None:
    headers: dict[str, str] = {}
    BinaryPropagator().inject(headers, trace.set_span_in_context(NonRecordingSpan(remote(7, 8))))
    assert headers == {}
    with pytest.raises(ValueError, match="ends in -bin"):
        BinaryPropagator("x-trace")


def test_the_tracestate_of_the_same_span_is_kept() -> None:
    text = {"traceparent": f"00-{7:032x}-{8:016x}-01", "tracestate": "a=b"}
    both = CompositePropagator([TraceContextTextMapPropagator(), BinaryPropagator()])
    assert span_in(both.extract({**text, KEY: GOOD}, Context())).trace_state.get("a") == "b"
    other = encode(remote(9, 10))
    assert span_in(both.extract({**text, KEY: other}, Context())) == remote(9, 10)


class Mangling(TextMapPropagator):
    """Does to text what a proxy in between may do."""

    @property
    def fields(self) -> set[str]:
        return set()

    def extract(
        self, carrier: Any, context: Context | None = None, getter: Any = default_getter
    ) -> Context:
        return context or Context()

    def inject(
        self, carrier: Any, context: Context | None = None, setter: Any = default_setter
    ) -> None:
        for key in ("traceparent", "ot-trace-id", "ot-span-id"):
            setter.set(carrier, key, "00-mangled")


@pytest.fixture(params=["whole", "mangled"])
def mangled(request: pytest.FixtureRequest) -> Iterator[bool]:
    before = propagate.get_global_textmap()
    known: dict[str, Any] = {"trusted_peers": HERE, "baggage_keys": ["plan"]}
    every: list[TextMapPropagator] = [
        everylayer.Propagator(**known),
        everylayer.OpenTracingPropagator(**known),
        BinaryPropagator(),
    ]
    if request.param == "mangled":
        every.append(Mangling())
    propagate.set_global_textmap(CompositePropagator(every))
    yield request.param == "mangled"
    propagate.set_global_textmap(before)


@pytest.fixture(params=["own", "stock"])
def client(request: pytest.FixtureRequest) -> Iterator[dict[str, Any] | None]:
    if request.param == "own":
        yield {}
        return
    both = (GrpcInstrumentorClient(), GrpcAioInstrumentorClient())  # type: ignore[no-untyped-call]
    for instrumentor in both:
        instrumentor.instrument()
    yield None
    for instrumentor in both:
        instrumentor.uninstrument()


@pytest.mark.parametrize("stock", [False, True], ids=["own", "stock"])
@kinds
def test_every_form_arrives_and_bytes_survive_what_text_does_not(
    telemetry: Telemetry,
    client: dict[str, Any] | None,
    kind: str,
    stock: bool,
    mangled: bool,
) -> None:
    seen: dict[str, Any] = {}

    def act(request: Any, given: Any) -> bytes:
        seen.update(dict(given.invocation_metadata()))
        seen["in context"] = dict(baggage.get_all())
        return b""

    made = [*layers(kind, stock=stock, settings={}), innermost(kind, act)]
    within = baggage.set_baggage("plan", "b c", baggage.set_baggage("other", "d"))
    outcome = send(kind, made, SHAPES[0], "ok", client=client, within=within)
    assert outcome.code is not None
    assert outcome.code.name == "OK"
    spans = telemetry.wait(lambda found: len(found) >= 2)
    (sender,) = [span for span in spans if span.kind is SpanKind.CLIENT]
    server = server_span(spans)
    assert sender.context is not None
    assert server.parent is not None
    assert server.parent.trace_id == sender.context.trace_id
    assert server.parent.span_id == sender.context.span_id
    assert seen[KEY] == encode(sender.context)
    assert seen["in context"] == {"plan": "b c"}
    if mangled:
        assert seen["traceparent"] == "00-mangled"
    else:
        ids = f"{sender.context.trace_id:032x}", f"{sender.context.span_id:016x}"
        assert seen["traceparent"][3:52] == "-".join(ids)
        assert (seen["ot-trace-id"], seen["ot-span-id"]) == ids
        assert (seen["baggage"], seen["ot-baggage-plan"]) == ("plan=b%20c", "b%20c")


@pytest.mark.parametrize(("peers", "taken"), [(HERE, True), (["10.0.0.0/8"], False), ([], False)])
@kinds
def test_baggage_of_a_peer_that_is_not_trusted_stays_outside(
    telemetry: Telemetry, kind: str, peers: list[str], taken: bool
) -> None:
    seen: list[dict[str, Any]] = []

    def act(request: Any, given: Any) -> bytes:
        seen.append(dict(baggage.get_all()))
        # What somebody else has made is not the peer's, even within its RPC.
        made = propagate.extract({"baggage": "plan=forged", "ot-baggage-plan": "forged"}, Context())
        seen.append(dict(baggage.get_all(made)))
        return b""

    before = propagate.get_global_textmap()
    known: dict[str, Any] = {"trusted_peers": peers, "baggage_keys": ["plan"]}
    propagate.set_global_textmap(
        CompositePropagator(
            [everylayer.Propagator(**known), everylayer.OpenTracingPropagator(**known)]
        )
    )
    try:
        for name in ("baggage", "ot-baggage-plan"):
            value = "plan=a" if name == "baggage" else "a"
            made = [*layers(kind, stock=True, settings={}), innermost(kind, act)]
            send(kind, made, SHAPES[0], "ok", [(name, value)])
    finally:
        propagate.set_global_textmap(before)
    assert seen == [{"plan": "a"} if taken else {}, {}] * 2
