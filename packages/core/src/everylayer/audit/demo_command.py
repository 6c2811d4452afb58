"""The command `everylayer demo`: an audit of a small app of each framework that is there."""

from __future__ import annotations

import dataclasses
import importlib.resources
import tempfile
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import NamedTuple

import click

from .adapter import GROUP
from .command import Shown, print_table
from .model import Report, Request
from .options import is_verbose, verbose_option
from .report.totals import passed
from .session import Wanted, audit, plan_for, read_chain
from .wire import TargetError

# No module of a framework package's: a layer of that would be one of everylayer's own.
_SOURCE = "example.py.txt"


# What is asked for; of gRPC the first method.
_PATH = "/orders/7"
_PATHS = {"grpc": "/"}


class Example(NamedTuple):
    """A small app; `source` defines `app`, which answers `/orders/7`, or has one method."""

    framework: str
    source: str


def examples() -> Iterator[Example]:
    """Yield that of each framework whose everylayer package is installed, by name."""
    for point in sorted(entry_points(group=GROUP), key=lambda each: each.name):
        file = importlib.resources.files(point.module).joinpath(_SOURCE)
        yield Example(point.name, file.read_text(encoding="utf-8"))


@click.command()
@verbose_option
@click.pass_context
def demo(ctx: click.Context) -> None:
    """Audit a small app of each framework that is installed.

    Shows what OpenTelemetry's own instrumentation loses of the errors of its layers, and what
    arrives with everylayer. Takes some seconds for each; nothing is sent to the network.
    """
    found = list(examples())
    if not found:
        raise TargetError(
            "there is no framework to show: install everylayer-aiohttp, everylayer-django, "
            "everylayer-flask, everylayer-grpc, everylayer-litestar or everylayer-starlette"
        )
    with tempfile.TemporaryDirectory() as folder:
        reports = [_shown(example, Path(folder), ctx) for example in found]
    ctx.exit(0 if all(map(passed, reports)) else 1)


def _shown(example: Example, folder: Path, ctx: click.Context) -> Report:
    file = folder / f"{example.framework}_shop.py"
    file.write_text(example.source, encoding="utf-8")
    request = Request(path=_PATHS.get(example.framework, _PATH))
    wanted = Wanted(f"{file}:app", request=request, verbose=is_verbose(ctx))
    with Shown(wanted) as shown:
        chained = read_chain(wanted)
        wanted = dataclasses.replace(wanted, request=chained.request or request)
        plan = plan_for(wanted, chained)
        shown.begin(chained, plan)
        report = audit(wanted, chained, plan, shown.advance)
    report = dataclasses.replace(report, target=f"{file.name}:app")
    print_table(report)
    click.echo()
    return report
