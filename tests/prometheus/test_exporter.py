"""What the real exporters make of the instruments: names to scrape, exemplars to send."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

from everylayer.sinks import instruments
from prometheus_names import exported

pytest.importorskip("opentelemetry.exporter.prometheus", reason="`nox -s prometheus` brings it")

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families


@pytest.fixture
def readers() -> Iterator[tuple[CollectorRegistry, InMemoryMetricReader]]:
    """Count once by each instrument, with all its attributes, inside a sampled span."""
    registry, memory = CollectorRegistry(), InMemoryMetricReader()
    provider = MeterProvider([PrometheusMetricReader(registry=registry), memory])
    observed = {each.name: _attributes(each) for each in instruments.ALL}

    def observe(each: instruments.Described) -> instruments.Callback:
        def callback(_: CallbackOptions) -> Iterator[Observation]:
            yield Observation(1, observed[each.name])

        return callback

    made = instruments.Instruments(
        provider.get_meter("everylayer"),
        observe(instruments.REQUESTS),
        observe(instruments.FAILURES),
    )
    with TracerProvider().get_tracer("test").start_as_current_span("request"):
        made.errors.add(1, observed[instruments.ERRORS.name])
        made.duration.record(1, observed[instruments.DURATION.name])
        for each, sums in (
            (instruments.PLACEMENTS, made.placements),
            (instruments.TRACES, made.traces),
            (instruments.TENANTS, made.tenants),
            (instruments.REDACTIONS, made.redactions),
        ):
            sums.add(1, *observed[each.name].values())
    yield registry, memory
    provider.shutdown()


def _attributes(each: instruments.Described) -> dict[str, str]:
    return dict.fromkeys(each.attributes, "x")


def test_the_series_have_the_names_that_rules_and_panels_ask_for(readers: Any) -> None:
    registry, _ = readers
    # The exporter writes the older text, which has one more series for when each began.
    text = generate_latest(registry).decode().replace("# EOF\n", "")
    found = {
        sample.name: set(sample.labels) - {"otel_scope_name", "otel_scope_version"}
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("everylayer_") and not sample.name.endswith("_created")
    }
    found = {
        name: {label for label in labels if not label.startswith("otel_scope_")} | {"job"}
        for name, labels in found.items()
    }
    assert found == exported()


def test_exemplars_are_sent_but_not_scraped(readers: Any) -> None:
    registry, memory = readers
    sent = encode_metrics(memory.get_metrics_data())
    (errors,) = (
        metric
        for resource in sent.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == instruments.ERRORS.name
    )
    (exemplar,) = errors.sum.data_points[0].exemplars
    assert len(exemplar.trace_id) == 16
    assert any(exemplar.trace_id)
    assert trace.format_trace_id(int.from_bytes(exemplar.trace_id, "big")) not in (
        generate_latest(registry).decode()
    ), "docs/dashboard.md says otherwise: the exporter keeps exemplars now"
