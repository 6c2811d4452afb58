"""The tables and the tree, drawn from verdicts and received spans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from .cases import Case
from .client import Answer
from .judge import Verdict
from .receiver import Span


@dataclass(frozen=True)
class Row:
    """One case of one shop, with OpenTelemetry alone and with everylayer."""

    case: Case
    stock_answer: Answer
    answer: Answer
    stock: Verdict
    everylayer: Verdict

    @property
    def same(self) -> bool:
        """The client cannot tell the two apart."""
        return self.stock_answer == self.answer


def table(title: str, rows: Sequence[Row]) -> Table:
    """Return the table of one shop."""
    made = Table(title=title, title_justify="left", title_style="bold", expand=True)
    made.add_column("layer that fails", ratio=4)
    made.add_column("raised", ratio=4)
    made.add_column("client saw", ratio=2)
    made.add_column("span, stock OpenTelemetry", ratio=4)
    made.add_column("span, with everylayer", ratio=5)
    for row in rows:
        saw = Text(str(row.answer))
        if not row.same:
            saw.append(f" (stock: {row.stock_answer})", "bold red")
        raised = Text(row.case.type.rpartition(".")[2], "bold")
        raised.append(f": {row.case.message}", "dim")
        made.add_row(row.case.layer, raised, saw, _cell(row.stock), _cell(row.everylayer))
    made.caption = totals(rows)
    made.caption_justify = "left"
    return made


def totals(rows: Sequence[Row]) -> str:
    """Return how many errors each side lost."""
    return (
        f"lost by stock {_lost([row.stock for row in rows])}, "
        f"with everylayer {_lost([row.everylayer for row in rows])}; "
        f"{sum(not row.same for row in rows)} responses differ"
    )


def _lost(verdicts: Sequence[Verdict]) -> str:
    lost = [verdict for verdict in verdicts if not verdict.kept]
    wrong = sum(verdict.event for verdict in lost)
    detail = f" ({wrong} of them with an event that is wrong)" if wrong else ""
    return f"{len(lost)} of {len(verdicts)}{detail}"


def _cell(verdict: Verdict) -> Text:
    return Text.assemble(("✓ ", "green") if verdict.kept else ("✗ ", "red"), verdict.shows)


def tree(spans: Sequence[Span]) -> Tree:
    """Return one trace as a tree, exception events with the end of their stack."""
    made = Tree(Text(f"trace {spans[0].trace_id}" if spans else "no spans", "bold"))
    known = {span.span_id for span in spans}
    for span in spans:
        if span.parent_id not in known:
            _grow(made, span, spans)
    return made


def _grow(above: Tree, span: Span, spans: Sequence[Span]) -> None:
    took = (span.end_ns - span.start_ns) / 1e6
    head = Text.assemble((span.name, "bold"), f" {span.kind} {took:.1f} ms ")
    head.append(span.status, "red" if span.status == "ERROR" else "dim")
    if span.description:
        head.append(f" {span.description}", "red")
    node = above.add(head)
    for event in span.errors:
        own = sorted(k for k in event.attributes if k.startswith("everylayer."))
        leaf = node.add(Text(f"! {event['exception.type']}: {event['exception.message']}", "red"))
        for key in own:
            leaf.add(Text(f"{key} = {event.attributes[key]}", "dim"))
        stack = event["exception.stacktrace"].rstrip().splitlines()
        leaf.add(Text("\n".join(["...", *stack[-6:]]), "dim"))
    for child in spans:
        if child.parent_id == span.span_id:
            _grow(node, child, spans)


def show(console: Console, text: str) -> None:
    """Print a line as it is."""
    console.print(escape(text))
