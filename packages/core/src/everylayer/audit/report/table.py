"""The report on a terminal: one line for each place that a fault was put at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..model import ChainNode, Finding, Report, Row, Verdict
from ..plan import walk
from .totals import judged, totals

_SHOWN = 3
# From this width on, in columns, what is wrong stands beside it.
_WIDE = 120
_BAD = ("lost", "wrong")
_STYLES = {"-": "dim", "ok": "green", "lost": "red", "wrong": "red"}


def render(report: Report, width: int = _WIDE) -> RenderableType:
    """Return `report` as rich shows it.

    Args:
        report: what to show.
        width: in columns; where that is little, what is wrong is told below the table.
    """
    notes: dict[str, int] | None = None if width >= _WIDE else {}
    parts: list[RenderableType] = [_seams(report, notes)]
    if notes:
        parts += [Text(), _notes(notes)]
    if report.findings:
        parts += [Text(), Text("What else was found", style="bold")]
        parts += [_finding(finding) for finding in report.findings]
    return Group(*parts, Text(), *_summary(report))


def _shown(text: str) -> str:
    """Return `text` without what a terminal would act on."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


def print_report(report: Report, console: Console) -> None:
    """Print `report`."""
    console.print(render(report, console.width))


class _Line(NamedTuple):
    """What is shown of a fault, and may be the same for more than one phase and shape."""

    node: str
    shape: str
    stock: str
    everylayer: str
    why: tuple[str, ...]


def _seams(report: Report, notes: dict[str, int] | None) -> Table:
    known = {node.id: node for node in walk(report.chain)}
    request = f"{report.request.method} {report.request.path}"
    table = Table(
        title=Text(_shown(f"{report.target} ({report.framework}), {request}")),
        title_justify="left",
        box=None,
        padding=(0, 2, 0, 0),
    )
    table.add_column("layer", overflow="fold", ratio=2, min_width=10)
    for title in ("phase", "shape", "stock", "everylayer"):
        table.add_column(title, no_wrap=True)
    if notes is None:
        table.add_column("why", overflow="fold", ratio=3, min_width=10)
    last = ""
    for line, phases in _merged(report.rows).items():
        name = _name(line.node, known) if line.node != last else Text()
        last = line.node
        states = [Text(state, style=_STYLES[state]) for state in (line.stock, line.everylayer)]
        cells: list[str | Text] = [name, "\n".join(phases), line.shape, *states]
        if notes is None:
            style = "red" if line.everylayer in _BAD else ""
            cells.append(Text("\n".join(filter(None, line.why)), style=style))
        else:
            for state, why in zip(states, reversed(line.why), strict=True):
                if why:
                    state.append(f" {notes.setdefault(why, len(notes) + 1)}", style="dim")
        table.add_row(*cells)
    return table


def _notes(notes: dict[str, int]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), show_header=False)
    table.add_column(justify="right", style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for why, number in notes.items():
        table.add_row(Text(str(number)), Text(why))
    return table


def _merged(rows: Sequence[Row]) -> dict[_Line, list[str]]:
    """Return each line with its phases."""
    every = {row.fault.shape for row in rows if row.fault.error == "error"}
    merged: dict[_Line, list[str]] = {}
    for (phase, line), shapes in _lines(rows).items():
        whole = len(every) > 1 and every <= set(shapes)
        shape = "all" if whole else "\n".join(shapes)
        merged.setdefault(line._replace(shape=shape), []).append(phase)
    return merged


def _lines(rows: Iterable[Row]) -> dict[tuple[str, _Line], list[str]]:
    """Return the lines with their shapes, without those of faults that were not put."""
    lines: dict[tuple[str, _Line], list[str]] = {}
    for row in rows:
        if any(verdict.reached for verdict in row.verdicts.values()):
            fault = row.fault
            stock, ours = judged(row, "stock"), judged(row, "everylayer")
            line = _Line(fault.node, "", _state(stock), _state(ours), _why(stock, ours))
            lines.setdefault((fault.phase, line), []).append(
                fault.shape if fault.error == "error" else fault.error
            )
    return lines


def _name(node_id: str, known: dict[str, ChainNode]) -> Text:
    node = known.get(node_id)
    name = node.name if node is not None else ""
    return Text.assemble((f"{node_id} ", "dim"), (_shown(name), "bold"))


def _state(verdict: Verdict) -> str:
    if not verdict.reached:
        return "-"
    if verdict.ok:
        return "ok"
    return "lost" if verdict.event is False else "wrong"


def _why(stock: Verdict, ours: Verdict) -> tuple[str, str]:
    """Return what is wrong with everylayer, and with stock; "" for nothing."""
    by = "stock: " if ours.why else ""
    return (
        f"everylayer: {_clauses(ours)}" if ours.why else "",
        f"{by}{_clauses(stock)}" if stock.why else "",
    )


def _clauses(verdict: Verdict) -> str:
    more = [f"and {len(verdict.why) - _SHOWN} more"] if len(verdict.why) > _SHOWN else []
    return _shown("; ".join([*verdict.why[:_SHOWN], *more]))


def _finding(finding: Finding) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), show_header=False)
    table.add_column(style="yellow", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("!", Text.assemble(_shown(finding.text), (f"  [{finding.kind}]", "dim")))
    if finding.where:
        table.add_row("", Text(_shown(f"at {finding.where}"), style="dim"))
    if finding.remedy:
        table.add_row("", Text(finding.remedy))
    return table


def _summary(report: Report) -> Sequence[Text]:
    counts = totals(report)
    said = [f"{arm} lost {found['lost']} of {found['put']}" for arm, found in counts.items()]
    good = not counts.get("everylayer", {}).get("lost")
    lines = [Text(", ".join(said), style="bold green" if good else "bold red")]
    if report.stock:
        lines.append(Text(_shown(f"Stock was not tried: {report.stock}"), style="yellow"))
    unreached = counts.get("everylayer", {}).get("unreached", 0)
    if unreached:
        lines.append(Text(f"{unreached} more faults could not be put: see not-reached above"))
    lines.append(Text(f"in {report.seconds:g} s", style="dim"))
    return lines
