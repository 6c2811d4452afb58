"""Builds the app of a case in some order of steps, serves one request, and says what is wrong."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import flask
from opentelemetry.instrumentation.flask import FlaskInstrumentor

from contract import drive
from contract.expect import problems
from contract.responses import Run, differences
from contract.telemetry import Telemetry, server_spans
from flask_case import Case

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
HEADERS = (("Traceparent", f"00-{TRACE_ID}-b7ad6b7169203331-01"),)

# What a user may do in which order: their own code, stock for the app, everylayer.
ORDERS: dict[str, tuple[str, ...]] = {
    "bare": (),
    "ours_last": ("build", "ours"),
    "ours_first": ("ours", "build"),
    "ours_twice": ("ours", "build", "ours"),
    "stock_build_ours": ("stock", "build", "ours"),
    "build_stock_ours": ("build", "stock", "ours"),
    "build_ours_stock": ("build", "ours", "stock"),
    "ours_build_stock": ("ours", "build", "stock"),
    "ours_stock_build": ("ours", "stock", "build"),
    "stock_ours_build": ("stock", "ours", "build"),
    "class_build_ours": ("class", "build", "ours"),
    "class_ours_build": ("class", "ours", "build"),
}
OURS = tuple(name for name, steps in ORDERS.items() if "ours" in steps)


@dataclass
class Outcome:
    """One request as the client and the logs show it."""

    run: Run
    logs: list[tuple[str, ...]] = field(default_factory=list)


def install(app: flask.Flask) -> None:
    """Add everylayer, as the README says."""
    import everylayer_flask

    everylayer_flask.EveryLayer(app)


@contextlib.contextmanager
def assembled(
    case: Case, steps: tuple[str, ...], ours: Callable[[flask.Flask], None] = install
) -> Iterator[Any]:
    """Yield the WSGI callable of `case`, made in the order of `steps`."""
    stock = FlaskInstrumentor()
    if "class" in steps:
        stock.instrument()
    try:
        app = flask.Flask("shop")
        app.secret_key = "for tests only"
        app.config.update(case.config)
        served: Any = app
        for step in steps or ("build",):
            if step == "build":
                served = case.build(app, case.fault) or app
                if "home" not in app.view_functions:
                    app.add_url_rule("/", "home", lambda: "home")
                app.add_url_rule("/ok", "ok", lambda: "ok")
            elif step == "stock":
                stock.instrument_app(app)
            elif step == "ours":
                ours(app)
        yield served
    finally:
        if "class" in steps:
            stock.uninstrument()


class _Logs(logging.Handler):
    """Keeps what the app logs; the instrumentations' own loggers are not the app's."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[tuple[str, ...]] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("opentelemetry"):
            return
        kind = record.exc_info[0] if record.exc_info else None
        self.kept.append((record.name, record.levelname, str(record.msg), str(kind)))


def serve(case: Case, app: Any) -> Outcome:
    """Send the request of `case`."""
    logs = _Logs()
    root = logging.getLogger()
    root.addHandler(logs)
    try:
        request = drive.environ(case.path, HEADERS, case.method)
        run = drive.run_wsgi(
            app if case.hang_up is None else _hanging_up(app, case.hang_up), request
        )
    finally:
        root.removeHandler(logs)
    return Outcome(run, logs.kept)


def _hanging_up(app: Any, chunks: int) -> Any:
    """Serve as a server does whose client goes away after so many chunks."""

    def served(environ: Any, start_response: Any) -> Iterator[bytes]:
        body = app(environ, start_response)
        iterator = iter(body)
        try:
            for _ in range(chunks):
                yield next(iterator)
        finally:
            body.close()

    return served


def bare(case: Case) -> Outcome:
    """Serve `case` without any instrumentation."""
    with assembled(case, ()) as app:
        return serve(case, app)


def changes(before: Outcome, after: Outcome) -> list[str]:
    """Return how the app behaves differently."""
    found = differences(before.run, _as_before(before.run, after.run))
    if before.logs != after.logs:
        found.append(f"logs {before.logs} became {after.logs}")
    return found


def _as_before(before: Run, after: Run) -> Run:
    """Return `after` with the functions of `before`, where ours cannot leave a traceback.

    The app's own `__call__` is ours: in 3.10 the one is there and the other is missing.
    """
    if sys.version_info >= (3, 11) or before.raised is None or after.raised is None:
        return after
    return replace(after, raised=replace(after.raised, functions=before.raised.functions))


def wrong(case: Case, telemetry: Telemetry, *, stock: bool, ours: bool = True) -> list[str]:
    """Return what is wrong with the trace of `case`."""
    spans = telemetry.spans
    expected = case.outcome(stock=stock)
    if not expected.event and not stock and not server_spans(spans):
        return [f"unwanted span {span.name}" for span in spans]
    found = problems(spans, case.fault, expected, ours=ours)
    if found and stock and case.either:
        found = problems(spans, case.fault, replace(expected, late=not expected.late), ours=ours)
    if case.fault.hostile:
        # It breaks what Flask does with it too, and those errors are there to be seen.
        found = [problem for problem in found if not problem.startswith("other events")]
    found += [
        f"{span.name} is in another trace"
        for span in spans
        if f"{span.get_span_context().trace_id:032x}" != TRACE_ID
    ]
    return found


def is_quiet(case: Case) -> bool:
    """Tell whether nothing is wrong with the request of `case`."""
    return not case.expected.event
