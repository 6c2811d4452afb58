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
_BAD = ("lost", "wrong")
_STYLES = {"-": "dim", "ok": "green", "lost": "red", "wrong": "red"}


def render(report: Report) -> RenderableType:
    """Return `report` as rich shows it."""
    parts: list[RenderableType] = [_seams(report)]
    if report.findings:
        parts += [Text(), Text("What else was found", style="bold")]
        parts += [line for finding in report.findings for line in _finding(finding)]
    return Group(*parts, Text(), *_summary(report))


def _shown(text: str) -> str:
    """Return `text` without what a terminal would act on."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


def print_report(report: Report, console: Console) -> None:
    """Print `report`."""
    console.print(render(report))


class _Line(NamedTuple):
    """What is shown of a fault at one place, and may be the same for more than one shape."""

    node: str
    phase: str
    stock: str
    everylayer: str
    why: str


def _seams(report: Report) -> Table:
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
    table.add_column("why", overflow="fold", ratio=3, min_width=10)
    last = ""
    lines = _lines(report.rows)
    every = {row.fault.shape for row in report.rows if row.fault.error == "error"}
    for line, shapes in lines.items():
        name = _name(line.node, known) if line.node != last else Text()
        last = line.node
        shape = "all" if len(every) > 1 and every <= set(shapes) else "\n".join(shapes)
        states = [Text(state, style=_STYLES[state]) for state in (line.stock, line.everylayer)]
        why = Text(line.why, style="red" if line.everylayer in _BAD else "")
        table.add_row(name, line.phase, shape, *states, why)
    return table


def _lines(rows: Iterable[Row]) -> dict[_Line, list[str]]:
    """Return the lines with their shapes, without those of faults that were not put."""
    lines: dict[_Line, list[str]] = {}
    for row in rows:
        if any(verdict.reached for verdict in row.verdicts.values()):
            fault = row.fault
            stock, ours = judged(row, "stock"), judged(row, "everylayer")
            states = (_state(stock), _state(ours))
            line = _Line(fault.node, fault.phase, *states, _why(stock, ours))
            lines.setdefault(line, []).append(
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


def _why(stock: Verdict, ours: Verdict) -> str:
    said = [f"everylayer: {_clauses(ours)}"] if ours.why else []
    if stock.why:
        said.append(f"stock: {_clauses(stock)}" if ours.why else _clauses(stock))
    return "\n".join(said)


def _clauses(verdict: Verdict) -> str:
    more = [f"and {len(verdict.why) - _SHOWN} more"] if len(verdict.why) > _SHOWN else []
    return _shown("; ".join([*verdict.why[:_SHOWN], *more]))


def _finding(finding: Finding) -> Iterable[Text]:
    yield Text.assemble(("! ", "yellow"), _shown(finding.text), (f"  [{finding.kind}]", "dim"))
    if finding.where:
        yield Text(_shown(f"  at {finding.where}"), style="dim")
    if finding.remedy:
        yield Text(f"  {finding.remedy}")


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
