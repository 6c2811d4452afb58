"""What comes in is a claim, and what goes out is allowed: at stock's own extraction."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.instrumentation.asgi import asgi_getter
from opentelemetry.instrumentation.wsgi import wsgi_getter
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from starlette.datastructures import Headers

import everylayer
from contract.telemetry import Telemetry, server_spans
from everylayer.settings import SettingsError
from services_kit import FRAMEWORKS, PEER, serve

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
# On a busy machine the first text takes seconds: hypothesis reads all of Unicode for it.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
PARENT = f"00-{TRACE}-{SPAN}-01"
FRIEND = "10.1.2.3"
KEYS = ["app.tenant.id", "plan", "ab.*"]
Sent = list[tuple[bytes, bytes]]


def propagator(**more: Any) -> everylayer.Propagator:
    return everylayer.Propagator(trusted_peers=["10.0.0.0/8"], baggage_keys=KEYS, **more)


def scope(headers: Sent, peer: str | None = FRIEND) -> dict[str, Any]:
    client = None if peer is None else (peer, 1)
    return {
        "type": "http",
        "client": client,
        "headers": [(b"traceparent", PARENT.encode()), *headers],
    }


def environ(headers: Sent, peer: str | None = FRIEND) -> dict[str, Any]:
    found: dict[str, Any] = {"wsgi.version": (1, 0), "HTTP_TRACEPARENT": PARENT}
    if peer is not None:
        found["REMOTE_ADDR"] = peer
    for name, value in headers:
        key = f"HTTP_{name.decode('latin-1').upper().replace('-', '_')}"
        text = value.decode("latin-1")
        found[key] = f"{found[key]},{text}" if key in found else text
    return found


def taken(
    headers: Sent, peer: str | None = FRIEND, made: everylayer.Propagator | None = None
) -> dict[str, object]:
    """Return the baggage that both kinds of server end up with; the trace survives always."""
    made = made or propagator()
    found = [
        made.extract(scope(headers, peer), Context(), asgi_getter),
        made.extract(environ(headers, peer), Context(), wsgi_getter),
    ]
    for each in found:
        parent = trace.get_current_span(each).get_span_context()
        assert f"{parent.trace_id:032x}-{parent.span_id:016x}" == f"{TRACE}-{SPAN}"
    entries = [dict(baggage.get_all(each)) for each in found]
    assert entries[0] == entries[1]
    return entries[0]


def test_a_trusted_peer_brings_what_is_allowed() -> None:
    sent = b"app.tenant.id=acme , plan=a%2Cb%20c;unit=1,ab.x=1,secret=s,abc=2"
    assert taken([(b"baggage", sent)]) == {"app.tenant.id": "acme", "plan": "a,b c", "ab.x": "1"}


# C's own reader takes the last five for 10.1.2.3, or for an address near it.
STRANGERS = ["127.0.0.1", "::1", "11.0.0.1", "unix:", "", None, "10.1.2.3\0", "10.\u0661.2.3"]
MISSPELT = ["10.1.2", "10.1.2.03", "0xa.1.2.3", "10.1.2.3 ", "10.1.2.3 11.0.0.1"]


@pytest.mark.parametrize("peer", STRANGERS + MISSPELT)
def test_anybody_else_brings_the_trace_alone(peer: str | None) -> None:
    sent: Sent = [(b"baggage", b"plan=gold"), (b"x-forwarded-for", FRIEND.encode())]
    assert taken(sent, peer) == {}


@pytest.mark.parametrize("peer", ["::ffff:10.1.2.3", "fe80::1%eth0"])
def test_an_address_has_other_spellings(peer: str) -> None:
    made = everylayer.Propagator(trusted_peers=["10.0.0.0/8", "fe80::/10"], baggage_keys=["plan"])
    assert taken([(b"baggage", b"plan=gold")], peer, made) == {"plan": "gold"}


def test_without_trusted_peers_or_keys_nothing_comes_in() -> None:
    sent: Sent = [(b"baggage", b"plan=gold")]
    for rules in ({}, {"trusted_peers": ["0.0.0.0/0"]}, {"baggage_keys": ["plan"]}):
        assert taken(sent, made=everylayer.Propagator(**rules)) == {}


FORGED: dict[str, Any] = {
    "Starlette's headers": Headers({"REMOTE_ADDR": FRIEND, "client": FRIEND, "baggage": "plan=x"}),
    "a dict of headers": {"REMOTE_ADDR": FRIEND, "wsgi.version": "(1, 0)", "baggage": "plan=x"},
    "a dict of lists": {
        "client": [FRIEND, "1"],
        "type": ["http"],
        "headers": ["x"],
        "baggage": ["plan=x"],
    },
    "no mapping": [("baggage", "plan=x"), ("REMOTE_ADDR", FRIEND)],
}


class AnyGetter(Getter[Any]):
    def get(self, carrier: Any, key: str) -> list[str]:
        return ["plan=x"]

    def keys(self, carrier: Any) -> list[str]:
        return ["baggage"]


@pytest.mark.parametrize("carrier", FORGED.values(), ids=FORGED)
def test_a_header_cannot_say_who_the_peer_is(carrier: Any) -> None:
    found = propagator().extract(carrier, Context(), AnyGetter())
    assert not baggage.get_all(found)


OVERSIZED = b"junk=" + b"x" * 9000
HOSTILE: dict[str, Sent] = {
    "an oversized header": [(b"baggage", b"plan=gold," + OVERSIZED)],
    "an oversized entry first": [(b"baggage", OVERSIZED + b",plan=gold")],
    "an oversized entry of an allowed key": [(b"baggage", b"ab.1=" + b"x" * 5000 + b",plan=gold")],
    "too many entries": [(b"baggage", b",".join(b"k%d=v" % n for n in range(500)) + b",plan=gold")],
    "a second header": [(b"baggage", b"other=1"), (b"baggage", b"plan=gold")],
    "a hostile first header": [(b"baggage", b"\xff\\x=1"), (b"baggage", b"plan=gold")],
    "bytes that are no text": [(b"baggage", b"ab.1=\xff\\x,plan=gold")],
    "a hostile name": [(b"x-\xff\\x", b"1"), (b"baggage", b"plan=gold")],
    "nonsense": [(b"baggage", b",,;=;,=,ab.1,=ab,ab.2 =,\x00=\x00,plan=gold,%=%")],
    "duplicates": [(b"baggage", b"plan=lead,plan=gold")],
    "control characters": [(b"baggage", b"ab.1=\r\nx,plan=gold")],
}


@pytest.mark.parametrize("headers", HOSTILE.values(), ids=HOSTILE)
def test_what_is_legitimate_survives(headers: Sent) -> None:
    found = taken(headers)
    assert found.pop("plan") == "gold"
    assert set(found.values()) <= {""}


def test_stock_loses_it_all_or_fails() -> None:
    """Why this is needed: should stock's do better one day, so be it."""
    stock = W3CBaggagePropagator()
    found = stock.extract(scope(HOSTILE["an oversized header"]), Context(), asgi_getter)
    assert baggage.get_all(found) == {}
    with pytest.raises(UnicodeDecodeError):
        stock.extract(scope(HOSTILE["bytes that are no text"]), Context(), asgi_getter)


def test_within_bounds_all_of_it_comes_in() -> None:
    whole = b",".join(b"ab.%d=%s" % (n, b"v" * 100) for n in range(64))
    assert len(taken([(b"baggage", whole)])) == 64
    assert len(taken([(b"baggage", whole + b",ab.64=v,ab.0=last")])) == 64


@unhurried
@given(st.lists(st.binary(max_size=200), max_size=3), st.binary(max_size=30))
def test_arbitrary_bytes_never_raise(values: list[bytes], name: bytes) -> None:
    headers = [(b"baggage", value) for value in values]
    found = propagator().extract(scope([*headers, (name, b"x")]), Context(), asgi_getter)
    parent = trace.get_current_span(found).get_span_context()
    assert name.lower() == b"traceparent" or f"{parent.trace_id:032x}" == TRACE


@unhurried
@given(st.dictionaries(st.sampled_from(["plan", "ab.é", "ab.1", "ab.2"]), st.text(max_size=50)))
def test_what_goes_out_comes_in_as_it_was(entries: dict[str, str]) -> None:
    made, carried = propagator(), Context()
    for key, value in entries.items():
        carried = baggage.set_baggage(key, value, carried)
    carrier: dict[str, str] = {}
    made.inject(carrier, carried)
    sent = carrier.get("baggage", "")
    assert sent.isascii()
    expected = {
        key: value.encode("utf-8", "replace").decode()
        for key, value in entries.items()
        if key.isascii()
    }
    assert taken([(b"baggage", sent.encode())]) == expected
    stock = W3CBaggagePropagator().extract({"baggage": sent}, Context())
    assert {key: value for key, value in expected.items() if value == value.strip()}.items() <= (
        dict(baggage.get_all(stock)).items()
    )


def test_only_the_span_and_what_is_allowed_goes_out() -> None:
    made = propagator()
    span = NonRecordingSpan(SpanContext(int(TRACE, 16), int(SPAN, 16), False, TraceFlags(1)))
    carried = trace.set_span_in_context(span, Context())
    carried = baggage.set_baggage("secret", "s", carried)
    carried = baggage.set_baggage("plan", "gold", carried)
    carried = baggage.set_baggage("ab.1", {"not": "text"}, carried)
    carried = context.set_value("user", "bob", carried)
    carrier: dict[str, str] = {}
    made.inject(carrier, carried)
    assert carrier == {"traceparent": PARENT, "baggage": "plan=gold"}
    assert carrier.keys() <= made.fields


def test_what_goes_out_is_bounded() -> None:
    carried = Context()
    for number in range(100):
        carried = baggage.set_baggage(f"ab.{number}", "v" * (5000 if number == 1 else 200), carried)
    carrier: dict[str, str] = {}
    propagator().inject(carrier, carried)
    sent = carrier["baggage"].split(",")
    assert len(carrier["baggage"]) <= 8192
    assert sent[0] == f"ab.0={'v' * 200}"
    assert sent[1].startswith("ab.2=")


def test_what_is_configured_later_counts() -> None:
    made, sent = everylayer.Propagator(), [(b"baggage", b"plan=gold")]
    assert taken(sent, made=made) == {}
    everylayer.configure(trusted_peers=["10.0.0.0/8"], baggage_keys=["plan"])
    assert taken(sent, made=made) == {"plan": "gold"}


@pytest.fixture
def as_global() -> Iterator[None]:
    before = propagate.get_global_textmap()
    propagate.set_global_textmap(propagator())
    yield
    propagate.set_global_textmap(before)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_it_holds_where_instrumentations_extract(
    telemetry: Telemetry, as_global: None, framework: str
) -> None:
    seen: list[dict[str, object]] = []

    def view() -> str:
        seen.append(dict(baggage.get_all()))
        return "fine"

    ask = serve(framework, view)
    headers = {"traceparent": PARENT, "baggage": f"plan=gold,secret=s,junk={'x' * 9000}"}
    assert ask(headers, peer=PEER).status_code == 200
    assert ask(headers, peer=FRIEND).status_code == 200
    assert seen == [{}, {"plan": "gold"}]
    for span in server_spans(telemetry.spans):
        assert span.context is not None
        assert f"{span.context.trace_id:032x}" == TRACE


def is_friend(request: Any) -> bool:
    """Trust whom a proxy on this machine has let in by its certificate."""
    return bool(request.get("SSL_CLIENT_S_DN") == "CN=orders")


def fails(request: Any) -> bool:
    raise KeyError(request)


def test_a_function_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mesh", sys.modules[__name__])
    made = everylayer.Propagator(trusted_peers=["mesh:is_friend"], baggage_keys=["plan"])
    request = environ([(b"baggage", b"plan=gold")], None)
    assert not baggage.get_all(made.extract(request, Context(), wsgi_getter))
    request["SSL_CLIENT_S_DN"] = "CN=orders"
    assert baggage.get_all(made.extract(request, Context(), wsgi_getter)) == {"plan": "gold"}


def test_a_function_that_fails_trusts_nobody(
    monkeypatch: pytest.MonkeyPatch, failures: dict[str, int]
) -> None:
    monkeypatch.setitem(sys.modules, "mesh", sys.modules[__name__])
    made = everylayer.Propagator(trusted_peers=["mesh:fails", "10.0.0.0/8"], baggage_keys=["plan"])
    assert taken([(b"baggage", b"plan=gold")], made=made) == {}
    assert list(failures) == ["everylayer.boundaries.trust._trusts"]


@pytest.mark.parametrize("peer", ["10.0.0.1/8", "everybody", "mesh:", ":f", "1.2.3", "a b:c"])
def test_a_peer_that_is_none_stops_the_app_at_its_start(peer: str) -> None:
    with pytest.raises(SettingsError, match=r"trusted_peers is .* it must be networks such as"):
        everylayer.Propagator(trusted_peers=[peer])


def test_a_header_that_is_none_stops_the_app_at_its_start() -> None:
    for name in ("X-Error-Context", "a b", "", "x:y", "é"):
        with pytest.raises(SettingsError, match=r"error_context_header is .* the name of a header"):
            everylayer.configure(error_context_header=name)


@pytest.mark.skipif(
    not entry_points(group="opentelemetry_propagator", name="everylayer"),
    reason="installed before there was the entry point",
)
def test_the_variable_puts_it_in_place() -> None:
    code = "from opentelemetry import propagate as p; print(p.get_global_textmap().__dict__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"OTEL_PROPAGATORS": "everylayer", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "everylayer.boundaries.propagator.Propagator" in done.stdout
