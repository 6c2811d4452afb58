"""Which of several errors a failing request is put down to."""

from __future__ import annotations

from typing import Any

import pytest

from contract.expect import Expected
from contract.faults import PLAIN
from contract.telemetry import Telemetry, error_events, server_span
from djangoapp.cases import BOTH, CLIENT, Case
from djangoapp.serve import run

FORBIDDEN = next(fault for fault in CLIENT if fault.name == "forbidden")


def serve(
    server: str, layers: tuple[str, ...], path: str, stock: bool = True, **fails: Any
) -> None:
    case = Case("blame", layers, {name.replace("_", "."): f for name, f in fails.items()},
                Expected(), path)  # fmt: skip
    assert run(case, server, stock=stock, position="last").status == 500


@pytest.mark.parametrize("server", BOTH)
@pytest.mark.parametrize("path", ["/nowhere", "/not-found", "/forbidden"])
def test_what_fails_after_an_answered_4xx_is_the_failure(
    server: str, path: str, telemetry: Telemetry
) -> None:
    serve(server, ("Plain", "Quiet"), path, plain_after=PLAIN)
    span = server_span(telemetry.spans)
    assert (span.attributes or {})["error.type"] == PLAIN.type
    assert span.status.description == PLAIN.message
    assert [e.event.attributes["everylayer.handled"] for e in error_events([span])] == [True, False]


def test_and_after_the_refusal_of_a_layer(telemetry: Telemetry) -> None:
    serve("wsgi", ("SecondFailure", "Plain"), "/ok", second=PLAIN, plain_before=FORBIDDEN)
    assert (server_span(telemetry.spans).attributes or {})["error.type"] == PLAIN.type
