"""The dashboard, as code: `python deploy/grafana/dashboard.py` writes everylayer.json.

`--traces tempo` writes the links to traces for Tempo in place of Jaeger, `--output FILE` elsewhere.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    Dashboard,
    DashboardCursorSync,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

import links
from panels import RED, SOURCE
from queries import FIRING
from sections import errors, fates, itself, numbers, service_level

FILE = Path(__file__).with_name("everylayer.json")
UID = "everylayer"

_SENTRY = "https://sentry.io"


def made(traces: links.Traces = "jaeger") -> Dashboard:
    """Return the dashboard."""
    builder = (
        build.Dashboard("everylayer: error traces")
        .uid(UID)
        .description("Is every error on a whole trace, what fails, and what does recording cost?")
        .tags(["everylayer", "opentelemetry", "slo"])
        .readonly()
        .timezone("browser")
        .time("now-3h", "now")
        .refresh("30s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .annotation(
            build.AnnotationQuery()
            .name("Alerts of everylayer")
            .datasource(SOURCE)
            .icon_color(RED)
            .enable(True)
            .expr(FIRING)
        )
    )
    for variable in _variables(traces):
        builder = builder.with_variable(variable)
    for title, blocks in (
        ("Is every error on a whole trace?", ((6, 4, numbers()), (8, 8, service_level()))),
        ("What fails, and what becomes of it", ((8, 9, errors(traces)), (8, 8, fates()))),
        ("everylayer itself", ((6, 8, itself()),)),
    ):
        builder = builder.with_row(build.Row(title))
        for width, height, panels in blocks:
            for panel in panels:
                builder = builder.with_panel(panel.span(width).height(height))
    board = builder.build()
    # The builder leaves them all 0; a link to one panel needs its own.
    for index, each in enumerate(board.panels or (), 1):
        each.id_val = index
    return board


def _variables(traces: links.Traces) -> Iterator[Builder[Any]]:
    yield build.DatasourceVariable("datasource").label("Metrics").type("prometheus")
    yield build.DatasourceVariable("traces").label("Traces").type(traces)
    yield (
        build.QueryVariable("job")
        .label("Job")
        .datasource(SOURCE)
        .query("label_values(everylayer_requests_total, job)")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(VariableOption(selected=True, text="All", value="$__all"))
    )
    yield (
        build.TextBoxVariable("sentry")
        .label("Sentry")
        .description("Where Sentry is, for the links: https://sentry.io, or its own host.")
        .default_value(_SENTRY)
        .current(VariableOption(text=_SENTRY, value=_SENTRY))
    )


def written(board: Dashboard) -> str:
    """Return `board` as Grafana reads it."""
    return JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False).encode(board) + "\n"


def main(args: list[str] | None = None) -> None:
    """Write the file."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--traces", choices=get_args(links.Traces), default="jaeger")
    parser.add_argument("--output", type=Path, default=FILE)
    given = parser.parse_args(args)
    given.output.write_text(written(made(given.traces)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
