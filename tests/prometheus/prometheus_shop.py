"""The Flask example behind a server on the loopback, its metrics where Prometheus finds them.

Usage: prometheus_shop.py PORT METRICS_PORT; SIGUSR1 makes it deaf to the traces of its callers.
"""

from __future__ import annotations

import os
import signal
import sys
from wsgiref.simple_server import WSGIRequestHandler, make_server

from opentelemetry import metrics, propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import start_http_server

os.environ.pop("OTEL_EXPORTER_OTLP_ENDPOINT", None)
trace.set_tracer_provider(TracerProvider())
metrics.set_meter_provider(MeterProvider([PrometheusMetricReader()]))

from flask_shop.wsgi import app  # noqa: E402 - after the providers


class Quiet(WSGIRequestHandler):
    def log_message(self, *args: object) -> None:
        return


def lose(*_: object) -> None:
    propagate.set_global_textmap(W3CBaggagePropagator())


signal.signal(signal.SIGUSR1, lose)
start_http_server(int(sys.argv[2]), addr="127.0.0.1")
with make_server("127.0.0.1", int(sys.argv[1]), app, handler_class=Quiet) as server:
    print("ready", flush=True)
    server.serve_forever()
