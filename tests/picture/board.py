"""The dashboard's JSON, and what Prometheus answers to its queries."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from prometheus_world import World

FILE = Path(__file__).parents[2] / "deploy" / "grafana" / "everylayer.json"
_STEPS = 240


class Series(NamedTuple):
    """A name, and points of time (seconds since the epoch) and value."""

    name: str
    points: list[tuple[float, float]]


class Panel(NamedTuple):
    """A panel as it is written, and its series."""

    made: Mapping[str, Any]
    series: list[Series]


class Span(NamedTuple):
    """What is shown, in seconds since the epoch."""

    start: float
    end: float

    def fill(self, expression: str) -> str:
        """Put values in the place of Grafana's variables."""
        return (
            expression.replace("$__rate_interval", "1m")
            .replace("$__range", f"{self.end - self.start:.0f}s")
            .replace("$job", ".*")
        )


def read(world: World, shown: Span) -> Iterator[Panel]:
    """Yield each panel with what Prometheus says of it."""
    for made in json.loads(FILE.read_text(encoding="utf-8"))["panels"]:
        found = [
            Series(_named(target["legendFormat"], metric), points)
            for target in made.get("targets", ())
            for metric, points in _asked(world, target, shown)
        ]
        yield Panel(made, found)


def alerts(world: World, shown: Span) -> list[Series]:
    """Return when which alert was firing, as the dashboard marks it."""
    board = json.loads(FILE.read_text(encoding="utf-8"))
    return [
        Series(metric["alertname"], points)
        for each in board["annotations"]["list"]
        for metric, points in _over_time(world, each["expr"], shown)
    ]


def _asked(
    world: World, target: Mapping[str, Any], shown: Span
) -> Iterator[tuple[dict[str, str], list[tuple[float, float]]]]:
    if not target["instant"]:
        yield from _over_time(world, target["expr"], shown)
        return
    found = world.get("query", query=shown.fill(target["expr"]), time=shown.end)
    for each in found["result"]:
        at, value = each["value"]
        yield each["metric"], [(float(at), float(value))]


def _over_time(
    world: World, expression: str, shown: Span
) -> Iterator[tuple[dict[str, str], list[tuple[float, float]]]]:
    step = (shown.end - shown.start) / _STEPS
    found = world.get(
        "query_range",
        query=shown.fill(expression),
        start=shown.start,
        end=shown.end,
        step=f"{step:.3f}",
    )
    for each in found["result"]:
        yield each["metric"], [(float(at), float(value)) for at, value in each["values"]]


def _named(legend: str, metric: Mapping[str, str]) -> str:
    return re.sub(r"{{(\w+)}}", lambda found: metric.get(found[1], ""), legend)
