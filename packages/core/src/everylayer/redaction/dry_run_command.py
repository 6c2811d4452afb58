"""The command `redact`: what a policy would mask in a text."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, NamedTuple

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..audit.wire import TargetError
from ..settings import SettingsError, current
from .guard import redactor_of
from .redactor import Finding, Redactor

_MOST = 64 << 20


class _Place(NamedTuple):
    """A finding, and where it is: line and column begin at 1, columns are characters."""

    source: str
    line: int
    column: int
    finding: Finding
    value: str


@click.command()
@click.argument("files", nargs=-1, type=click.Path(allow_dash=True, dir_okay=False))
@click.option(
    "--policy",
    metavar="POLICY",
    help="default, strict, finance, or a TOML file. By default the setting `redaction`.",
)
@click.option("--show", is_flag=True, help="Print what was found too: the secrets themselves.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def redact(files: tuple[str, ...], policy: str | None, show: bool, as_json: bool) -> None:
    """Show what the redaction of errors would mask in FILES, or in standard input.

    Nothing is changed. Exit code 2 means that a file or the policy cannot be used.
    """
    redactor = _redactor(policy)
    places = [place for name in files or ("-",) for place in _places(name, _read(name), redactor)]
    if as_json:
        click.echo(json.dumps([_as_json(place, show) for place in places], indent=2))
    else:
        _print(places, show)


def _redactor(policy: str | None) -> Redactor:
    try:
        found = redactor_of(current().redaction if policy is None else policy)
    except SettingsError as error:
        raise TargetError(str(error).removeprefix("everylayer ")) from None
    if found is None:
        raise TargetError("redaction is off: nothing would be masked. Name a policy with --policy.")
    return found


def _read(name: str) -> str:
    try:
        with click.open_file(name, "rb") as stream:
            data: bytes = stream.read(_MOST + 1)
    except OSError as error:
        raise TargetError(f"{name} cannot be read: {error.strerror}.") from None
    if len(data) > _MOST:
        raise TargetError(f"{name} is larger than {_MOST >> 20} MiB: give a part of it.")
    return data.decode("utf-8", "backslashreplace")


def _places(source: str, text: str, redactor: Redactor) -> Iterator[_Place]:
    found = redactor.find(text)
    if not found:
        return
    starts = [0, *(at + 1 for at, char in enumerate(text) if char == "\n")]
    for each in found:
        line = bisect_right(starts, each.start)
        column = each.start - starts[line - 1] + 1
        yield _Place(source, line, column, each, text[each.start : each.end])


def _as_json(place: _Place, show: bool) -> dict[str, Any]:
    value = {"value": place.value} if show else {}
    return {
        "source": place.source,
        "line": place.line,
        "column": place.column,
        **place.finding._asdict(),
        **value,
    }


def _print(places: list[_Place], show: bool) -> None:
    console = Console(highlight=False)
    if not places:
        console.print("nothing would be masked")
        return
    table = Table()
    for heading in ("place", "rule", "length", "becomes", *(["value"] if show else [])):
        table.add_column(heading, overflow="fold")
    for place in places:
        found = place.finding
        where = f"{'' if place.source == '-' else place.source + ':'}{place.line}:{place.column}"
        cells = [where, found.rule, str(found.end - found.start), found.replacement]
        if show:
            cells.append(repr(place.value))
        # Never markup: `[card]` would be a style.
        table.add_row(*map(Text, cells))
    console.print(table)
