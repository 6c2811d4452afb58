"""Client, Envoy, Starlette, Envoy, Flask, Django: one trace, its origin known at every hop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from envoy_mesh import Mesh, binary, running
from everylayer.boundaries.error_context import parse

if binary() is None:
    pytest.skip("Envoy is not installed: nox -s envoy", allow_module_level=True)

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
FORGED = "v=1,type=forged.Error;service=evil"
UPSTREAM = "everylayer.upstream."
# Each of the two proxies tries three times.
ATTEMPTS = [1, 2, 3]


class Failed:
    """One request that fails, and all that it left behind."""

    def __init__(self, mesh: Mesh) -> None:
        sent = {"traceparent": TRACEPARENT, "x-error-context": FORGED, "x-envoy-attempt-count": "7"}
        self.status, self.headers, self.body = mesh.get("/locked", sent)
        self.servers = {name: _servers(mesh, name) for name in ("shop", "orders", "stock")}
        self.spans = [span for name in self.servers for span in mesh.spans(name)]


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with running(tmp_path_factory.mktemp("mesh")) as found:
        yield found


@pytest.fixture(scope="module")
def failed(mesh: Mesh) -> Failed:
    return Failed(mesh)


def _servers(mesh: Mesh, service: str, seconds: float = 10.0) -> list[dict[str, Any]]:
    expected = 3 if service == "shop" else 9
    deadline = time.monotonic() + seconds
    while True:
        found = [span for span in mesh.spans(service) if span["kind"].endswith("SERVER")]
        if len(found) >= expected or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def event_of(span: dict[str, Any]) -> dict[str, Any]:
    (event,) = [event for event in span["events"] if event["name"] == "exception"]
    found: dict[str, Any] = event["attributes"]
    return found


def test_there_is_one_trace(failed: Failed) -> None:
    assert {span["context"]["trace_id"] for span in failed.spans} == {f"0x{TRACE}"}
    assert {name: len(spans) for name, spans in failed.servers.items()} == {
        "shop": 3,
        "orders": 9,
        "stock": 9,
    }


def test_the_caller_learns_where_it_began(failed: Failed) -> None:
    assert failed.status == 500
    said = parse(failed.headers["x-error-context"])
    assert said is not None
    told = [(hop.service, hop.type.rpartition(".")[2], hop.attempt) for hop in said.hops]
    assert told == [
        ("shop", "HTTPStatusError", 3),
        ("orders", "NoStock", 3),
        ("stock", "Locked", 0),
    ]
    assert said.origin.layer == "locks.lock"
    assert said.origin.message == "the shelf is being counted"
    last = failed.servers["stock"][-1]["context"]
    assert (f"0x{said.origin.trace_id}", f"0x{said.origin.span_id}") == (
        last["trace_id"],
        last["span_id"],
    )
    assert failed.headers["x-envoy-attempt-count"] == "3"


def test_each_hop_names_the_origin_and_links_it(failed: Failed) -> None:
    began = [span["context"]["span_id"] for span in failed.servers["stock"]]
    for service, hops in (("orders", 1), ("shop", 2)):
        for span in failed.servers[service]:
            found = event_of(span)
            assert found[f"{UPSTREAM}service"] == "stock"
            assert found[f"{UPSTREAM}type"].endswith("Locked")
            assert found[f"{UPSTREAM}layer"] == "locks.lock"
            assert found[f"{UPSTREAM}hops"] == hops
            (link,) = span["links"]
            assert link["context"]["span_id"] == f"0x{found[f'{UPSTREAM}span_id']}"
            assert link["context"]["span_id"] in began
    # Each attempt of the orders met another one of the stock's errors.
    met = [event_of(span)[f"{UPSTREAM}span_id"] for span in failed.servers["orders"]]
    assert [f"0x{span_id}" for span_id in met] == began


def test_attempts_are_counted_under_one_request_id(failed: Failed) -> None:
    shop = [event_of(span) for span in failed.servers["shop"]]
    orders = [event_of(span) for span in failed.servers["orders"]]
    assert [found["everylayer.request.attempt"] for found in shop] == ATTEMPTS
    assert [found["everylayer.request.attempt"] for found in orders] == ATTEMPTS * 3
    assert len({found["everylayer.request.id"] for found in [*shop, *orders]}) == 1
    # The proxy between has tried thrice before the shop heard of it.
    assert [found[f"{UPSTREAM}attempts"] for found in shop] == [3, 3, 3]


def test_what_a_stranger_claims_comes_to_nothing(failed: Failed) -> None:
    assert "forged" not in failed.headers["x-error-context"]
    assert not any("forged" in str(span) for span in failed.spans)


def test_headers_of_a_request_that_works_are_intact(mesh: Mesh) -> None:
    sent = {
        "traceparent": TRACEPARENT,
        "baggage": "plan=gold,secret=s",
        "x-kept": "as it was",
    }
    status, headers, body = mesh.get("/espresso", sent)
    assert status == 200
    assert body == {
        "baggage": {},  # The edge has taken it off.
        "inner": {"kept": "as it was", "inner": {"stock": "espresso"}},
    }
    assert "x-error-context" not in headers
    works = [span for span in mesh.spans("stock") if span["attributes"].get("everylayer.handled")]
    assert not works
