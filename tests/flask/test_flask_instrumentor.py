"""Without a line of code: every app of the process, and no trace of it afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask
import pytest
from opentelemetry.instrumentation.flask import FlaskInstrumentor

from contract import drive
from contract.expect import ESCAPED, check
from contract.faults import PLAIN, fault_site
from contract.telemetry import Telemetry, server_span
from everylayer import SettingsError
from everylayer_flask import EveryLayer, patches
from everylayer_flask.instrumentor import EveryLayerFlaskInstrumentor, post_instrument

HERE = Path(__file__).parent


@pytest.fixture
def instrumentor() -> Iterator[EveryLayerFlaskInstrumentor]:
    made = EveryLayerFlaskInstrumentor()
    yield made
    if made.is_instrumented_by_opentelemetry:
        made.uninstrument()


def failing_app(cls: type[flask.Flask] | None = None) -> flask.Flask:
    app = (cls or flask.Flask)("shop")
    app.before_request(lambda: fault_site(PLAIN))
    return app


def serve(app: Any) -> Any:
    return drive.run_wsgi(app, drive.environ())


def test_apps_made_later(instrumentor: EveryLayerFlaskInstrumentor, telemetry: Telemetry) -> None:
    class Shop(flask.Flask):
        pass

    instrumentor.instrument()
    post_instrument()
    for cls in (flask.Flask, Shop):
        telemetry.clear()
        serve(failing_app(cls))
        check(telemetry.spans, PLAIN, ESCAPED)


@pytest.mark.parametrize("first", ["ours", "stock"])
def test_with_stock_before_or_after(
    first: str, instrumentor: EveryLayerFlaskInstrumentor, telemetry: Telemetry
) -> None:
    stock = FlaskInstrumentor()
    both = [instrumentor, stock] if first == "ours" else [stock, instrumentor]
    for one in both:
        one.instrument()
    try:
        serve(failing_app())
        check(telemetry.spans, PLAIN, ESCAPED)
    finally:
        stock.uninstrument()


def test_no_trace_is_left(instrumentor: EveryLayerFlaskInstrumentor, telemetry: Telemetry) -> None:
    before = flask.Flask.__init__
    instrumentor.instrument()
    app = failing_app()
    held = failing_app()
    EveryLayer(held)
    instrumentor.uninstrument()
    assert flask.Flask.__init__ is before
    assert type(app) is flask.Flask
    assert "everylayer" not in app.extensions
    assert patches.adoption_of(app) is None
    serve(app)
    assert telemetry.spans == ()
    # This one holds the line, and keeps its seams.
    serve(held)
    assert server_span(telemetry.spans).name == "GET /"


def test_settings(instrumentor: EveryLayerFlaskInstrumentor) -> None:
    instrumentor.instrument(max_events=3)
    found = patches.adoption_of(flask.Flask("shop"))
    assert found is not None
    assert found.rules.settings.max_events == 3
    instrumentor.uninstrument()
    with pytest.raises(SettingsError, match="max_evnets"):
        instrumentor.instrument(max_evnets=3)


def test_switched_off(instrumentor: EveryLayerFlaskInstrumentor) -> None:
    instrumentor.instrument(enabled=False)
    assert type(flask.Flask("shop")) is flask.Flask


def run(script: str, *, under: tuple[str, ...] = (), **variables: str) -> str:
    """Run `script` in a process of its own."""
    paths = [str(HERE), str(HERE.parent / "support"), os.environ.get("PYTHONPATH", "")]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **variables}
    done = subprocess.run(
        [*under, sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=environ,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


APP = """
import flask
from contract import drive
app = flask.Flask("shop")
app.add_url_rule("/", "home", lambda: 1 / 0)
app.wsgi_app = (lambda inner: lambda environ, start: inner(environ, start))(app.wsgi_app)
print("status", drive.run_wsgi(app, drive.environ()).status)
from opentelemetry import trace
trace.get_tracer_provider().force_flush()
"""

AUTO = (str(Path(sys.executable).with_name("opentelemetry-instrument")),)
CONSOLE = {
    "OTEL_TRACES_EXPORTER": "console",
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_LOGS_EXPORTER": "none",
}


def test_under_opentelemetry_instrument() -> None:
    output = run(APP, under=AUTO, **CONSOLE)
    assert "status 500" in output
    assert output.count('"exception.type": "ZeroDivisionError"') == 1
    assert '"everylayer.layer.kind": "view"' in output
    assert output.count('"kind": "SpanKind.SERVER"') == 1


def test_left_out_by_name() -> None:
    output = run(
        APP, under=AUTO, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="everylayer_flask", **CONSOLE
    )
    assert "status 500" in output
    assert "everylayer" not in output


def test_a_bad_variable_costs_nobody_else_anything() -> None:
    output = run(APP, under=AUTO, EVERYLAYER_MAX_EVENTS="many", **CONSOLE)
    assert "everylayer stays off" in output
    assert "EVERYLAYER_MAX_EVENTS" in output
    assert output.count('"kind": "SpanKind.SERVER"') == 1


NO_PROVIDER = """
import flask_cases_bodies, flask_cases_handlers, flask_cases_hooks, flask_cases_layers
from flask_case import CASES
from flask_harness import ORDERS, assembled, bare, changes, serve
from everylayer import own_failures
import logging
logging.lastResort = None
wrong = []
for case in CASES:
    before = bare(case)
    for order in ("ours_last", "ours_first", "ours_build_stock"):
        with assembled(case, ORDERS[order]) as app:
            wrong += [f"{case} {order}: {found}" for found in changes(before, serve(case, app))]
assert not wrong, wrong
assert not own_failures(), own_failures()
print("cases", len(list(CASES)))
"""


def test_without_a_provider_the_app_cannot_tell_either() -> None:
    assert "cases" in run(NO_PROVIDER)
