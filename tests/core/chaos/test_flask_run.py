"""A run of chaos in a Flask app under threads, and the verdict on what was exported of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from opentelemetry.instrumentation.flask import FlaskInstrumentor

from contract.drive import environ, run_wsgi
from contract.telemetry import Telemetry
from everylayer import chaos
from everylayer.audit.store import span_data
from everylayer.chaos import Chaos, Rule, Running
from everylayer.chaos.integrity import Integrity, check
from everylayer.chaos.permit import VARIABLE
from everylayer_flask import EveryLayer

pytestmark = pytest.mark.skipif(sys.version_info < (3, 12), reason="chaos needs 3.12")

MANY = 60


@pytest.fixture(autouse=True)
def _staging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(VARIABLE, "staging")
    yield
    chaos.stop()


class Header:
    """A WSGI layer."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.app(environ, start_response)


def make(*, everylayer: bool) -> Flask:
    app = Flask("shop")

    @app.before_request
    def authenticate() -> None:
        pass

    @app.after_request
    def count(response: Any) -> Any:
        return response

    @app.get("/")
    def stock_of() -> str:
        return "ok"

    @app.errorhandler(KeyError)
    def not_in_stock(error: KeyError) -> tuple[str, int]:
        return "none left", 404

    app.wsgi_app = Header(app.wsgi_app)  # type: ignore[method-assign]
    FlaskInstrumentor().instrument_app(app)  # type: ignore[no-untyped-call]
    if everylayer:
        EveryLayer(app)
    return app


def traceparent(number: int) -> tuple[str, str]:
    # As random as those of the W3C: a rule may look at any part of it.
    trace = (number * 0x9E3779B97F4A7C15F39CC0605CEDC835) % 2**128
    return "traceparent", f"00-{trace:032x}-{number:016x}-01"


def serve(app: Flask) -> list[int | None]:
    def one(number: int) -> int | None:
        return run_wsgi(app, environ("/", [traceparent(number)])).status

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(one, range(1, MANY + 1)))


def verdict(running: Running, telemetry: Telemetry) -> Integrity:
    return check(running.journal.entries, map(span_data, telemetry.spans))


PLAN = Chaos(
    (
        Rule("*.stock_of", modulus=(7, 3), error="KeyError", status=404),
        Rule("*", probability=0.3, status=500),
        Rule("*.count", "after", probability=0.1),
    )
)


def test_a_run_with_everylayer_is_whole(telemetry: Telemetry) -> None:
    app = make(everylayer=True)
    with chaos.start(app, PLAN) as running:
        statuses = serve(app)
    result = verdict(running, telemetry)
    assert result.ok, result
    assert result.requests == MANY
    assert {fault.layer for fault in running.journal.faults} >= {
        "make.authenticate",
        "make.stock_of",
    }
    failed = sum(status != 200 for status in statuses)
    assert MANY * 0.15 < failed < MANY * 0.6
    # What finishes a response may do so twice, and fail twice.
    assert failed <= result.faults
    assert {500, 404} < set(statuses)
    telemetry.clear()
    assert serve(app) == [200] * MANY


def test_the_same_run_with_stock_alone_is_not(telemetry: Telemetry) -> None:
    app = make(everylayer=False)
    with chaos.start(app, PLAN) as running:
        serve(app)
    result = verdict(running, telemetry)
    failed = {each.name for each in result.checks if not each.ok}
    assert "errors on their trace" in failed
    assert result.exit_code == 1


def test_a_run_can_be_had_again(telemetry: Telemetry) -> None:
    runs = []
    for _ in range(2):
        app = make(everylayer=True)
        with chaos.start(app, PLAN) as running:
            serve(app)
        runs.append({(each.trace_id, each.layer, each.phase) for each in running.journal.faults})
    assert runs[0] == runs[1]
    assert runs[0]
