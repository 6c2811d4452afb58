"""What the served apps share: providers, metrics where Prometheus finds them, loss at a signal.

SIGUSR1 makes the app deaf to the traces of its callers, SIGUSR2 lets it hear again.
"""

from __future__ import annotations

import os
import signal

from opentelemetry import metrics, propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import start_http_server


def start(port: int) -> None:
    """Set the providers up, and serve the metrics on `port`."""
    os.environ.pop("OTEL_EXPORTER_OTLP_ENDPOINT", None)
    trace.set_tracer_provider(TracerProvider())
    metrics.set_meter_provider(MeterProvider([PrometheusMetricReader()]))
    hearing, deaf = propagate.get_global_textmap(), W3CBaggagePropagator()
    signal.signal(signal.SIGUSR1, lambda *_: propagate.set_global_textmap(deaf))
    signal.signal(signal.SIGUSR2, lambda *_: propagate.set_global_textmap(hearing))
    start_http_server(port, addr="127.0.0.1")
