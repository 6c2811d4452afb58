"""Each kind of RPC fails at each place: bare, with stock, with everylayer beside it and alone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import grpc
import pytest
from grpc import aio
from opentelemetry.instrumentation import grpc as stock
from opentelemetry.sdk.trace import ReadableSpan

import everylayer_grpc
import grpc_aio
import grpc_sync
from contract.expect import problems
from contract.faults import Fault
from contract.telemetry import Telemetry, server_span, server_spans, session
from grpc_cases import CASES, Outcome, Place, Shape

ARMS = ("bare", "stock", "beside", "alone")


class Seen(NamedTuple):
    """What one RPC came to: for its client, and in the trace."""

    outcome: Outcome
    spans: tuple[ReadableSpan, ...]


Table = dict[tuple[str, str, str], Seen]


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL + 1)


def chain(arm: str, layers: Any, stocks: Any, ours: Callable[[], Any]) -> list[Any]:
    """Return the interceptors of an arm; ours stands in the middle of them."""
    found: list[Any] = [layers.PassThrough(), layers.Recovery(), layers.Raiser()]
    if arm in ("beside", "alone"):
        found.insert(2, ours())
    if arm in ("stock", "beside"):
        found.insert(0, stocks())
    return found


def settled(telemetry: Telemetry, arm: str) -> tuple[ReadableSpan, ...]:
    if arm == "bare":
        return ()
    spans = telemetry.wait(server_spans, 0.05 if arm == "stock" else 3)
    telemetry.clear()
    return spans


def run_sync(telemetry: Telemetry) -> Table:
    seen: Table = {}
    for arm in ARMS:
        layers = chain(arm, grpc_sync, stock.server_interceptor, everylayer_grpc.server_interceptor)
        with grpc_sync.serving(layers) as address, grpc.insecure_channel(address) as channel:
            for shape, place in CASES:
                outcome = grpc_sync.call(channel, shape, place)
                seen[arm, shape.name, place.name] = Seen(outcome, settled(telemetry, arm))
    return seen


async def run_aio(telemetry: Telemetry) -> Table:
    seen: Table = {}
    for arm in ARMS:
        layers = chain(
            arm, grpc_aio, stock.aio_server_interceptor, everylayer_grpc.aio_server_interceptor
        )
        async with grpc_aio.serving(layers) as address, aio.insecure_channel(address) as channel:
            for shape, place in CASES:
                outcome = await grpc_aio.call(channel, shape, place)
                for _ in range({"bare": 0, "stock": 10}.get(arm, 600)):
                    if server_spans(telemetry.spans):
                        break
                    await asyncio.sleep(0.002)
                seen[arm, shape.name, place.name] = Seen(outcome, telemetry.spans)
                telemetry.clear()
    return seen


@pytest.fixture(scope="module")
def table() -> Iterator[dict[str, Table]]:
    logging.disable(logging.CRITICAL)  # gRPC logs each failure of an app, with its stack.
    with session() as telemetry:
        yield {"sync": run_sync(telemetry), "aio": asyncio.run(run_aio(telemetry))}
    logging.disable(logging.NOTSET)


cases = pytest.mark.parametrize(
    ("mode", "shape", "place"),
    [
        pytest.param(mode, shape, place, id=f"{mode}-{shape.name}-{place.name}")
        for mode in ("sync", "aio")
        for shape, place in CASES
    ],
)


def fault_of(mode: str, place: Place) -> Fault:
    if not place.said:
        return place.fault
    return abort_of(mode, place.said)


def abort_of(mode: str, said: str = "") -> Fault:
    cls: Any = aio.AbortError if mode == "aio" else Exception
    return Fault("abort", cls, cls, said)


def wrong(spans: Sequence[ReadableSpan], mode: str, place: Place, *, ours: bool) -> list[str]:
    fault = fault_of(mode, place)
    expected = place.expected
    if place.refused:
        expected = replace(expected, also=(abort_of(mode).type,))
    found = problems(spans, fault, expected, ours=ours)
    if place.said:
        # gRPC raises an abort in a function of its own.
        found = [line for line in found if "fault_site" not in line and "code.fun" not in line]
    return found


@pytest.mark.parametrize("arm", ["beside", "alone"])
@cases
def test_the_error_is_on_the_span_of_the_rpc_once(
    table: dict[str, Table], mode: str, shape: Shape, place: Place, arm: str
) -> None:
    seen = table[mode][arm, shape.name, place.name]
    assert wrong(seen.spans, mode, place, ours=True) == []
    attributes = server_span(seen.spans).attributes or {}
    if arm == "alone" or place.name != "ok":
        assert attributes["rpc.grpc.status_code"] == place.code.value[0]


@cases
def test_the_client_sees_what_it_saw_without(
    table: dict[str, Table], mode: str, shape: Shape, place: Place
) -> None:
    bare = table[mode]["bare", shape.name, place.name].outcome
    for arm in ("beside", "alone"):
        outcome = table[mode][arm, shape.name, place.name].outcome
        if place.name == "deadline":
            # The client's own words for it are now these, now those.
            outcome = outcome._replace(details=bare.details)
        assert outcome == bare


def test_stock_alone_loses_most_of_them(table: dict[str, Table]) -> None:
    lost = {
        (mode, shape.name, place.name)
        for mode in table
        for shape, place in CASES
        if place.expected.event
        and wrong(
            table[mode]["stock", shape.name, place.name].spans,
            mode,
            replace(place, said=""),
            ours=False,
        )
    }
    errors = sum(place.expected.event for _, place in CASES) * len(table)
    assert len(lost) > 0.8 * errors
