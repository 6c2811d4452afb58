"""A request that is being served by Django is found under its server span's trace."""

from __future__ import annotations

from dataclasses import replace

import pytest

import everylayer
from contract.telemetry import Telemetry
from djangoapp import views
from djangoapp.cases import CASES
from djangoapp.serve import run
from everylayer.running.snapshot import Snapshot

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
FINE = next(case for case in CASES if case.name == "fine")


@pytest.mark.parametrize("path", ["/ok", "/async"])
@pytest.mark.parametrize("server", ["wsgi", "asgi"])
@pytest.mark.parametrize(
    ("stock", "position"),
    [(True, None), (False, "first"), (True, "last")],
    ids=["stock", "everylayer", "both"],
)
def test_a_view_that_is_stuck(
    telemetry: Telemetry,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    server: str,
    stock: bool,
    position: str | None,
) -> None:
    taken: list[Snapshot] = []

    def stuck(name: str) -> None:
        taken.append(everylayer.snapshot())

    monkeypatch.setattr(views, "site", stuck)
    headers = (("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01"),)
    answer = run(replace(FINE, path=path, headers=headers), server, stock=stock, position=position)
    assert answer.status == 200
    (found,) = [each for each in taken[0].threads if "in stuck" in "".join(each.stack)]
    assert found.trace is not None
    assert found.trace.trace_id == TRACE
