"""The report on a terminal: one line for each place that a fault was put at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..model import ChainNode, Finding, Report, Row, Verdict
from ..plan import walk
from .totals import judged, totals

_SHOWN = 3


def render(report: Report) -> RenderableType:
    """Return `report` as rich shows it."""
    parts: list[RenderableType] = [_seams(report)]
    if report.findings:
        parts += [Text(), Text("What else was found", style="bold")]
        parts += [line for finding in report.findings for line in _finding(finding)]
    return Group(*parts, Text(), *_summary(report))


def print_report(report: Report, console: Console) -> None:
    """Print `report`."""
    console.print(render(report))


def _seams(report: Report) -> Table:
    known = {node.id: node for node in walk(report.chain)}
    request = f"{report.request.method} {report.request.path}"
    table = Table(
        title=Text(f"{report.target} ({report.framework}), {request}"),
        title_justify="left",
        box=None,
        padding=(0, 2, 0, 0),
    )
    table.add_column("layer", overflow="fold", ratio=2)
    table.add_column("phase", no_wrap=True)
    table.add_column("shape", no_wrap=True)
    table.add_column("stock", no_wrap=True)
    table.add_column("everylayer", no_wrap=True)
    table.add_column("why", overflow="fold", ratio=3)
    last = ""
    for row in report.rows:
        if not any(verdict.reached for verdict in row.verdicts.values()):
            continue
        name = _name(row, known) if row.fault.node != last else Text()
        last = row.fault.node
        shape = row.fault.shape if row.fault.error == "error" else row.fault.error
        stock, ours = judged(row, "stock"), judged(row, "everylayer")
        cells = [_state(stock), _state(ours), _why(stock, ours)]
        table.add_row(name, row.fault.phase, shape, *cells)
    return table


def _name(row: Row, known: dict[str, ChainNode]) -> Text:
    node = known.get(row.fault.node)
    return Text(node.name if node is not None else row.fault.node, style="bold")


def _state(verdict: Verdict) -> Text:
    if not verdict.reached:
        return Text("-", style="dim")
    if verdict.ok:
        return Text("ok", style="green")
    return Text("lost" if verdict.event is False else "wrong", style="red")


def _why(stock: Verdict, ours: Verdict) -> Text:
    said = [Text(f"everylayer: {_clauses(ours)}", style="red")] if ours.why else []
    if stock.why:
        said.append(Text(f"stock: {_clauses(stock)}" if ours.why else _clauses(stock)))
    return Text("\n").join(said)


def _clauses(verdict: Verdict) -> str:
    more = [f"and {len(verdict.why) - _SHOWN} more"] if len(verdict.why) > _SHOWN else []
    return "; ".join([*verdict.why[:_SHOWN], *more])


def _finding(finding: Finding) -> Iterable[Text]:
    yield Text.assemble(("! ", "yellow"), finding.text, (f"  [{finding.kind}]", "dim"))
    if finding.where:
        yield Text(f"  at {finding.where}", style="dim")
    if finding.remedy:
        yield Text(f"  {finding.remedy}")


def _summary(report: Report) -> Sequence[Text]:
    counts = totals(report)
    said = [f"{arm} lost {found['lost']} of {found['put']}" for arm, found in counts.items()]
    good = not counts.get("everylayer", {}).get("lost")
    lines = [Text(", ".join(said), style="bold green" if good else "bold red")]
    if report.stock:
        lines.append(Text(f"Stock was not tried: {report.stock}", style="yellow"))
    unreached = counts.get("everylayer", {}).get("unreached", 0)
    if unreached:
        lines.append(Text(f"{unreached} more faults could not be put: see not-reached above"))
    lines.append(Text(f"in {report.seconds:g} s", style="dim"))
    return lines
