"""The command `show`: a saved trace file or report as a page."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from .report.documents import documents
from .report.limits import MAX_BYTES, UnreadableError
from .report.otlp import spans_of
from .report.page import render, render_traces
from .report.saved import is_report, report_of
from .wire import TargetError


@click.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--output",
    type=click.Path(path_type=Path, allow_dash=True, dir_okay=False),
    metavar="FILE.html",
    help="Where to write the page; `-` is standard output. By default a new temporary file.",
)
@click.option(
    "--open/--no-open",
    "browse",
    default=None,
    help="Open the page in the browser; done by default if there is no --output.",
)
def show(file: Path, output: Path | None, browse: bool | None) -> None:
    """Show FILE as a page: traces in OTLP JSON, or a report of `audit --format json`.

    Traces may be one export request, or one after another as the Collector's file exporter
    writes them, gzip or not. `-` reads standard input.
    """
    name = click.format_filename(file) if str(file) != "-" else "standard input"
    try:
        page = page_of(_read(file), Path(name).name)
    except UnreadableError as error:
        raise TargetError(f"{name} cannot be shown: {error}") from None
    if output is not None and str(output) == "-":
        click.echo(page.encode(), nl=False)
        return
    written = _write(page, output, file)
    click.echo(click.format_filename(written))
    if output is None if browse is None else browse:
        click.launch(written.as_uri())


def page_of(data: bytes, name: str) -> str:
    """Return the page of a file's content.

    Raises:
        UnreadableError: it is neither a report nor a trace.
    """
    values = documents(data)
    if is_report(values[0]):
        return render(report_of(values[0]))
    return render_traces(name, spans_of(values))


def _read(file: Path) -> bytes:
    try:
        with click.open_file(str(file), "rb") as stream:
            data: bytes = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise UnreadableError(error.strerror or "it cannot be read") from None
    return data


def _write(page: str, output: Path | None, source: Path) -> Path:
    try:
        if output is None:
            with tempfile.NamedTemporaryFile(
                "w", encoding="utf-8", prefix="everylayer-", suffix=".html", delete=False
            ) as stream:
                stream.write(page)
            return Path(stream.name)
        if output.exists() and source.exists() and output.samefile(source):
            raise TargetError(f"{click.format_filename(output)} is the file to show")
        output.write_text(page, encoding="utf-8")
        return output.resolve()
    except OSError as error:
        raise TargetError(f"the page cannot be written: {error.strerror}") from None
