"""The command `everylayer audit`."""

from __future__ import annotations

import dataclasses
import os
import sys
import threading
from pathlib import Path
from typing import get_args

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .model import SHAPES, Phase, Report, Request, Shape, Trial
from .options import asked_path, is_verbose, rpc_options, target_options, verbose_option
from .plan import Plan, describe
from .report import json_report, junit, page, table
from .report.totals import passed
from .session import Run, Wanted, plan_for, read_chain, runs_of
from .session import audit as run_audit
from .wire import Chained, TargetError

_WIDEST = 160


@click.command()
@target_options
@click.option(
    "--layer",
    "layers",
    multiple=True,
    metavar="NAME",
    help="Only layers of this name, id or pattern; may be repeated.",
)
@click.option(
    "--phase",
    "phases",
    multiple=True,
    type=click.Choice(get_args(Phase)),
    help="Only this phase; may be repeated.",
)
@click.option(
    "--shape",
    "shapes",
    multiple=True,
    type=click.Choice(SHAPES),
    help="Only this shape of error; may be repeated.",
)
@click.option("--path", default="/", show_default=True, help="What is asked for, with its query.")
@click.option(
    "--method", default="GET", show_default=True, help="With anything but GET, the app may write."
)
@rpc_options
@click.option(
    "--header",
    "headers",
    multiple=True,
    metavar="'NAME: VALUE'",
    help="Send this header; may be repeated.",
)
@click.option(
    "--format",
    "style",
    type=click.Choice(["table", "json", "junit", "html"]),
    default="table",
    show_default=True,
    help="What the report is.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the report there, not to stdout.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    default=10.0,
    show_default=True,
    help="Of one request, seconds.",
)
@click.option(
    "--dry-run", is_flag=True, help="Show what would be tried and touched, and send nothing."
)
@verbose_option
@click.pass_context
def audit(
    ctx: click.Context,
    target: str,
    factory: bool,
    layers: tuple[str, ...],
    phases: tuple[Phase, ...],
    shapes: tuple[Shape, ...],
    path: str,
    method: str,
    rpc: str | None,
    messages: tuple[str, ...],
    headers: tuple[str, ...],
    style: str,
    output: Path | None,
    timeout: float,
    dry_run: bool,
) -> None:
    """Make each layer of TARGET fail, and show which errors arrive, with and without everylayer.

    TARGET is what you start your server with: module:app, module:create_app(), a module,
    file.py:app, a Django settings module, the folder of a manage.py, or a gRPC server or what
    makes one, such as module:create_server(). It runs in processes of its own, in which a request
    is repeated for each fault. Nothing is sent to the network; what the app itself does for that
    request, in its database too, is done as often.

    Ends with 1 if everylayer has lost an error or changed a response, with 2 if the audit cannot
    be done.
    """
    headed = tuple(map(_header, headers))
    request = Request(method.upper(), asked_path(path, rpc), headed, messages)
    wanted = Wanted(target, factory, request, layers, phases, shapes, timeout, is_verbose(ctx))
    if output is not None and not output.parent.is_dir():
        raise TargetError(f"{output} cannot be written: there is no folder {output.parent}")
    with Shown(wanted) as shown:
        chained = read_chain(wanted)
        wanted = dataclasses.replace(wanted, request=chained.request or wanted.request)
        plan = plan_for(wanted, chained)
        if dry_run:
            report = None
        else:
            shown.begin(chained, plan)
            report = run_audit(wanted, chained, plan, shown.advance)
    if report is None:
        arms = [run for run in runs_of(chained) if run != "again"]
        click.echo(describe(plan, target, chained.nodes, arms))
        return
    _write(report, style, output)
    ctx.exit(0 if passed(report) else 1)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip() or "\n" in text or "\r" in text:
        raise TargetError(f"--header {text!r} is no header: type 'Name: value'")
    return name.strip(), value.strip()


class Shown:
    """Progress on stderr, if that is a terminal that the app's own output does not share."""

    def __init__(self, wanted: Wanted) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=wanted.verbose or not sys.stderr.isatty(),
        )
        self._task = self._progress.add_task(f"reading {wanted.target}", total=None)
        self._lock = threading.Lock()

    def __enter__(self) -> Shown:
        self._progress.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        # Older versions of Rich end a line, even if none was begun.
        if not self._progress.disable:
            self._progress.stop()

    def begin(self, chained: Chained, plan: Plan) -> None:
        """Say how much there is to do."""
        total = len(plan.trials) * len(runs_of(chained))
        self._progress.update(self._task, description="putting faults", total=total)

    def advance(self, run: Run, trial: Trial) -> None:
        """Count a trial."""
        with self._lock:
            self._progress.advance(self._task)


def print_table(report: Report) -> None:
    """Print `report` to stdout, as wide as there is room."""
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDEST  # A log of CI has room.
    table.print_report(report, console)


def _write(report: Report, style: str, output: Path | None) -> None:
    if style == "table":
        if output is None:
            print_table(report)
            return
        with output.open("w", encoding="utf-8") as file:
            table.print_report(report, Console(file=file, width=_WIDEST, highlight=False))
        return
    text = {"json": json_report.render, "junit": junit.render, "html": page.render}[style](report)
    if output is None:
        click.echo(text.encode(), nl=False)
    else:
        output.write_text(text, encoding="utf-8")
