"""Sentry's event and the RPC's span name each other."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from contract.telemetry import Telemetry, error_events, server_spans
from everylayer import configure, settings
from grpc_cases import SHAPES, Shape
from grpc_pair import KINDS, layers, send

pytest.importorskip("sentry_sdk")
sys.path.insert(0, str(Path(__file__).parent.parent / "sentry"))

from everylayer.sinks.sentry import switch
from sentry_kit import SENTRY_URL, TRACE_URL, initialised, loop_problems, types

if TYPE_CHECKING:
    from sentry_kit import Kept

kinds = pytest.mark.parametrize("kind", KINDS)
shapes = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
stocks = pytest.mark.parametrize("stock", [False, True], ids=["own", "stock"])


@pytest.fixture
def sentry() -> Iterator[Kept]:
    logging.disable(logging.CRITICAL)
    with initialised(default_integrations=False, auto_enabling_integrations=False) as kept:
        yield kept
    logging.disable(logging.NOTSET)
    switch.detach()
    settings.reset()


@pytest.mark.parametrize("place", ["servicer", "converted_abort"])
@stocks
@shapes
@kinds
def test_what_we_capture(
    telemetry: Telemetry, sentry: Kept, kind: str, shape: Shape, stock: bool, place: str
) -> None:
    urls = {"trace_url": TRACE_URL, "sentry_url": SENTRY_URL, "sentry": "capture"}
    send(kind, layers(kind, stock=stock, settings=urls), shape, place)
    spans = telemetry.wait(server_spans)
    (event,) = sentry.events
    (found,) = error_events(spans)
    assert types(event)[0] == (found.event.attributes or {})["exception.type"]
    assert loop_problems(spans, event) == []


@pytest.mark.parametrize("outermost", [False, True], ids=["inside", "outside"])
@stocks
def test_what_sentrys_own_interceptor_captures(
    telemetry: Telemetry, sentry: Kept, stock: bool, outermost: bool
) -> None:
    from sentry_sdk.integrations.grpc.aio.server import ServerInterceptor

    configure(trace_url=TRACE_URL, sentry_url=SENTRY_URL, sentry="link")
    theirs: Any = ServerInterceptor()
    made = layers("aio", stock=stock, settings={})
    made = [theirs, *made] if outermost else [*made, theirs]
    send("aio", made, SHAPES[0], "servicer")
    spans = telemetry.wait(server_spans)
    (event,) = sentry.events
    assert loop_problems(spans, event) == []
