"""The corpus itself: it must tell a trace that lost errors from one that did not."""

from __future__ import annotations

from asgi_cases import CASES
from asgi_drive import converse
from asgi_kit import AROUND, BARE, INSIDE, SETUPS, Kit
from contract.telemetry import Telemetry
from test_starlette_corpus import found


def test_stock_instrumentation_loses_most(telemetry: Telemetry) -> None:
    full = total = 0
    for case in CASES:
        if not case.expected.event:
            continue
        for setup in SETUPS:
            if setup in (BARE, AROUND, INSIDE) or not case.runs_under(setup):
                continue
            telemetry.clear()
            with Kit(setup).active() as kit:
                run = converse(case.build(kit), case.request)
            total += 1
            full += not found(case, setup, run, telemetry, ours=False)
    print(f"stock shows {full} of {total} errors in full")
    assert total > 100
    assert full < total / 2
