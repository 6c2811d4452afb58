"""Metrics as the real SDK collects them: what has been added since the last look."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from opentelemetry import metrics
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider, ObservableCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader, Metric

Series = dict[tuple[str, ...], float]


class Reading:
    """The process's meter provider, and what it has counted."""

    def __init__(self) -> None:
        delta = AggregationTemporality.DELTA
        self._reader = InMemoryMetricReader(
            preferred_temporality={Counter: delta, Histogram: delta, ObservableCounter: delta}
        )
        self.provider = MeterProvider([self._reader])

    def take(self) -> dict[str, Metric]:
        """Return the metrics of everylayer by name, and begin anew."""
        found = self._reader.get_metrics_data()
        return {
            metric.name: metric
            for resource in (found.resource_metrics if found else ())
            for scope in resource.scope_metrics
            if scope.scope.name == "everylayer"
            for metric in scope.metrics
        }

    def series(self) -> dict[str, Series]:
        """Return what each counter has gained, by the values of its attributes in their order."""
        found = {}
        for name, metric in self.take().items():
            values = {
                tuple(str(v) for _, v in sorted(_attributes(point).items())): _value(point)
                for point in metric.data.data_points
            }
            found[name] = {labels: value for labels, value in values.items() if value}
        return {name: values for name, values in found.items() if values}


def _attributes(point: Any) -> Mapping[str, Any]:
    return point.attributes or {}


def _value(point: Any) -> float:
    return float(getattr(point, "value", None) or getattr(point, "count", 0))


@functools.cache
def install() -> Reading:
    """Return the process's reading; its provider is the global one."""
    made = Reading()
    metrics.set_meter_provider(made.provider)
    if metrics.get_meter_provider() is not made.provider:
        raise RuntimeError("the global MeterProvider was already set by something else")
    return made
