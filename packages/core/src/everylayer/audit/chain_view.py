"""A chain on a terminal: a tree, outermost first, readable at 80 columns and without colour."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from .model import ChainNode, Request
from .wire import Chained

# From this width on, where a layer is and how it is seen stand beside its name.
_WIDE = 120
_NAME = 44


def print_chain(
    target: str, path: str | None, chained: Chained, console: Console | None = None
) -> None:
    """Print a chain.

    Args:
        target: as it was typed.
        path: that was asked for, None where nothing was.
        chained: the chain.
        console: where to; stdout where it is not given.
    """
    console = console or Console(highlight=False)
    wide = console.width >= _WIDE
    title = Text.assemble((target, "bold"), f"  {chained.framework}, {chained.interface}")
    if path is not None:
        sent = chained.request or Request(path=path)
        title.append(f"\n{sent.method} {sent.path}: {_outcome(chained)}")
    tree = Tree(title, guide_style="dim")
    passed = None if path is None else frozenset(chained.passed)
    _grow(tree, chained.nodes, passed, wide)
    console.print(tree, soft_wrap=False)
    if chained.stock:
        console.print(Text(f"Stock OpenTelemetry is not on: {chained.stock}", style="yellow"))


def _grow(
    tree: Tree, nodes: Iterable[ChainNode], passed: frozenset[str] | None, wide: bool
) -> None:
    for node in nodes:
        _grow(tree.add(_label(node, passed, wide)), node.inner, passed, wide)


def _label(node: ChainNode, passed: frozenset[str] | None, wide: bool) -> Text:
    ours = node.kind == "instrumentation"
    missed = passed is not None and "before" in node.phases and node.id not in passed
    label = Text(style="dim" if ours or missed else "", overflow="fold")
    label.append(f"{node.id} ", style="dim")
    label.append(node.name, style="" if ours or missed else "bold")
    label.append(f"  {node.kind}, {node.mode}", style="cyan")
    if missed:
        label.append("  not passed", style="yellow")
    rest = "  ".join(
        part for part in (_short(node.where), node.seam and f"seam: {node.seam}") if part
    )
    if rest:
        gap = " " * max(2, _NAME - len(label.plain)) if wide else "\n"
        label.append(f"{gap}{rest}", style="dim")
    return label


def _short(where: str) -> str:
    """Return a place as seen from the working directory, or from the folder of all packages."""
    here = where.removeprefix(f"{Path.cwd()}{os.sep}")
    return here.rpartition(f"{os.sep}site-packages{os.sep}")[2]


def _outcome(chained: Chained) -> str:
    passed = len(chained.passed)
    said = chained.code or chained.status
    answer = "no answer" if said is None else f"status {said}"
    return f"{answer}, {passed} layer{'' if passed == 1 else 's'} passed"
