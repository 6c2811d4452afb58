"""The command `integrity`: the verdict over a run of chaos, for CI."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from ..audit.model import SpanData
from ..audit.report.documents import documents
from ..audit.report.limits import MAX_BYTES, UnreadableError
from ..audit.report.otlp import spans_of
from ..text import one_line
from . import integrity as rules
from .journal import Entry, read

_SHOWN = 10


class Refusal(click.ClickException):
    """What cannot be done, in one sentence."""

    exit_code = 2


@click.command()
@click.argument("journal", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("spans", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How to print the result.",
)
@click.option(
    "--expected-spans",
    type=click.IntRange(min=0),
    help="How many spans SPANS must hold in all. By default one server span a request counts.",
)
@click.option(
    "--max-deviation",
    type=click.FloatRange(0, 1),
    default=rules.MAX_DEVIATION,
    show_default=True,
    help="By how much the number of spans may differ, as a share.",
)
@click.pass_context
def integrity(
    ctx: click.Context,
    journal: Path,
    spans: Path,
    form: str,
    expected_spans: int | None,
    max_deviation: float,
) -> None:
    """Hold the exported SPANS against the JOURNAL of a run of chaos.

    SPANS is a file of traces in OTLP JSON. Exit code 1 means that something was lost, 2 that a
    file cannot be read.
    """
    result = rules.check(
        _journal(journal),
        _spans(spans),
        expected_spans=expected_spans,
        max_deviation=max_deviation,
    )
    if form == "json":
        click.echo(json.dumps(result.to_json(), indent=2))
    else:
        show(result, Console(highlight=False))
    ctx.exit(result.exit_code)


def show(result: rules.Integrity, console: Console) -> None:
    """Print `result` for people."""
    table = Table(title=f"{result.requests} requests, {result.faults} faults")
    for heading in ("check", "measured", "wanted", ""):
        table.add_column(heading)
    for each in result.checks:
        verdict = "[green]ok[/]" if each.ok else "[red]FAILED[/]"
        table.add_row(each.name, each.measured, each.wanted, verdict)
    console.print(table)
    for each in result.checks:
        for what in each.failed[:_SHOWN]:
            console.print(f"{each.name}: {one_line(what, 80)}", markup=False)
        if len(each.failed) > _SHOWN:
            console.print(f"{each.name}: and {len(each.failed) - _SHOWN} more")


def _journal(path: Path) -> list[Entry]:
    try:
        return read(path)
    except (OSError, ValueError) as error:
        raise Refusal(f"The journal {path} cannot be read: {error}") from None


def _spans(path: Path) -> tuple[SpanData, ...]:
    try:
        with path.open("rb") as stream:
            return spans_of(documents(stream.read(MAX_BYTES + 1)))
    except (OSError, UnreadableError) as error:
        raise Refusal(f"The spans {path} cannot be read: {error}") from None
