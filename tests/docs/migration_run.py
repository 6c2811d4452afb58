"""Run the programs of docs/migrate with an app that fails in each layer; write what arrives.

`python migration_run.py FILE [VARIABLE=VALUE ...] [-- FILE ...]`: each FILE makes `app`, a Flask,
in a process of its own; FILE.json has what has arrived. Spans, Sentry's events, ddtrace's traces
are kept in memory, whatever FILE has set up to send them.
"""

from __future__ import annotations

import json
import logging
import os
import runpy
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flask import Flask, Response, request

PATHS = ("view", "auth", "token", "handled", "swallowed", "stream", "teardown")


class NoStock(Exception):
    """Answered with 503 by the app's own handler."""


def furnish(app: Flask) -> None:
    """Give `app` a layer, hook or view for each way to fail; each path is named as it fails."""
    add_hooks(app)

    @app.get("/<name>")
    def view(name: str) -> Any:
        if name in RAISES:
            raise RAISES[name]
        return Response(body()) if name == "stream" else "ok"

    def body() -> Iterator[str]:
        yield "begun"
        raise OSError("stream")

    app.wsgi_app = recover(token(app.wsgi_app))  # type: ignore[method-assign]


def add_hooks(app: Flask) -> None:

    @app.errorhandler(NoStock)
    def down(exc: NoStock) -> tuple[str, int]:
        return "sorry", 503

    @app.errorhandler(KeyError)
    def fine(exc: KeyError) -> str:
        return "never mind"

    @app.before_request
    def authenticate() -> None:
        if request.path == "/auth":
            raise RuntimeError("auth")

    @app.teardown_request
    def release(exc: BaseException | None) -> None:
        if request.path == "/teardown":
            raise ConnectionError("teardown")


def token(inner: Any) -> Any:
    def layer(environ: Any, start_response: Any) -> Any:
        if environ["PATH_INFO"] == "/token":
            raise PermissionError("token")
        return inner(environ, start_response)

    return layer


def recover(inner: Any) -> Any:
    def layer(environ: Any, start_response: Any) -> Any:
        try:
            return inner(environ, start_response)
        except PermissionError:
            start_response("503 Down", [("Content-Type", "text/plain")])
            return [b"sorry"]

    return layer


RAISES = {
    "view": ValueError("view"),
    "handled": NoStock("handled"),
    "swallowed": KeyError("swallowed"),
}


class Kept:
    """What has been exported since the last look."""

    def __init__(self) -> None:
        self.spans: Any = None
        self.events: list[dict[str, Any]] = []
        self.traces: list[Any] = []
        self._spans()
        if "sentry_sdk" in sys.modules:
            self._sentry()
        if "ddtrace" in sys.modules:
            self._ddtrace()

    def _spans(self) -> None:
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        provider = trace.get_tracer_provider()
        if isinstance(provider, TracerProvider):
            self.spans = InMemorySpanExporter()
            provider.add_span_processor(SimpleSpanProcessor(self.spans))

    def _sentry(self) -> None:
        import sentry_sdk
        from sentry_sdk.transport import Transport

        events = self.events

        class Keep(Transport):
            def capture_envelope(self, envelope: Any) -> None:
                event = envelope.get_event()
                if event is not None:
                    events.append(dict(event))

        sentry_sdk.get_client().transport = Keep()

    def _ddtrace(self) -> None:
        from ddtrace.trace import TraceFilter, tracer

        traces = self.traces

        class Keep(TraceFilter):  # type: ignore[misc]
            def process_trace(self, trace: Any) -> None:
                traces.extend(trace)

        tracer.configure(trace_processors=[Keep()])

    def take(self) -> dict[str, Any]:
        """Return what a request has left, as plain values, and begin anew."""
        found = {
            "errors": [self._of_span(*one) for one in self._error_events()],
            "sentry": [self._of_event(event) for event in self.events],
            "ddtrace": [self._of_dd(span) for span in self.traces],
        }
        self.events.clear()
        self.traces.clear()
        if self.spans is not None:
            self.spans.clear()
        return found

    def _error_events(self) -> Iterator[tuple[Any, Any]]:
        for span in self.spans.get_finished_spans() if self.spans is not None else ():
            for event in span.events:
                if event.name == "exception":
                    yield span, event

    def _of_span(self, span: Any, event: Any) -> dict[str, Any]:
        return {
            "type": event.attributes["exception.type"],
            "span": span.name,
            "kind": span.kind.name,
            "status": span.status.status_code.name,
            "handled": event.attributes.get("everylayer.handled"),
            "trace_id": format(span.context.trace_id, "032x"),
            "sentry": event.attributes.get("sentry.event_id"),
        }

    def _of_event(self, event: dict[str, Any]) -> dict[str, Any]:
        value = event["exception"]["values"][-1]
        return {
            "type": value["type"],
            "handled": value["mechanism"]["handled"],
            "id": event["event_id"],
            "trace_id": event["contexts"]["trace"]["trace_id"],
        }

    def _of_dd(self, span: Any) -> dict[str, Any]:
        tags = {key: span.get_tag(key) for key in ("error.type", "error.message", "error.stack")}
        entry = span.name in ("flask.request", "wsgi.request")
        return {"entry": entry, "error": span.error, "type": tags["error.type"], **tags}


def ask(app: Flask, path: str) -> int:
    client = app.test_client()
    try:
        response = client.get(f"/{path}")
        try:
            response.get_data()
        finally:
            response.close()
    except Exception:
        return 500
    return int(response.status_code)


def sends() -> list[str]:
    """Return the names of the headers that a request to another service would have."""
    from opentelemetry import propagate, trace

    carrier: dict[str, str] = {}
    with trace.get_tracer("shop").start_as_current_span("call"):
        propagate.inject(carrier)
    return sorted(carrier)


def run(file: Path) -> None:
    app = runpy.run_path(str(file))["app"]
    furnish(app)
    logging.disable(logging.CRITICAL)
    kept = Kept()
    said: dict[str, Any] = {}
    for path in PATHS:
        status = ask(app, path)
        said[path] = {"status": status, **kept.take()}
    found = json.dumps({"paths": said, "sends": sends()})
    file.with_suffix(".json").write_text(found, encoding="utf-8")


def warm_up() -> None:
    """Import what most programs do: not Sentry, whose presence is part of what is tried."""
    for name in ("everylayer_flask", "opentelemetry.instrumentation.flask", "flask.testing"):
        __import__(name)
    __import__("opentelemetry.exporter.otlp.proto.http.trace_exporter")


def main(args: list[str]) -> None:
    programs = [part.split() for part in " ".join(args).split(" -- ")]
    if len(programs) > 1:
        warm_up()
    children = []
    for file, *variables in programs:
        child = os.fork()
        if not child:
            os.environ.update(variable.split("=", 1) for variable in variables)
            code = 1
            try:
                run(Path(file))
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                # Exporters that reach nobody must not hold the end up.
                os._exit(code)
        children.append(child)
    sys.exit(max(os.waitpid(child, 0)[1] for child in children) != 0)


if __name__ == "__main__":
    main(sys.argv[1:])
