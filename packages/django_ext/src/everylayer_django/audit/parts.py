"""A chain while it is read: parts in order, then the numbered nodes that the audit wants."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from everylayer.audit.adapter import Chain
from everylayer.audit.model import ChainNode, Phase
from everylayer.faults.point import Point
from everylayer.layers import name_of

INSTRUMENTATION = "instrumentation"
Points = dict[Phase, Point]


@dataclass
class Part:
    """One part of a chain; what it is made of is that of a `ChainNode`."""

    name: str
    kind: str
    where: str = ""
    mode: str = "sync"
    seam: str = ""
    points: Points = field(default_factory=dict)
    inner: list[Part] = field(default_factory=list)


def attempted(make: Callable[[], Part], target: Any, kind: str, seam: str = "") -> Part:
    """Return `make()`; where `target` cannot be read, it stays in the tree, without points."""
    try:
        return make()
    except Exception:  # noqa: BLE001 - code of the app's, asked in unusual ways
        return Part(_safe_name(target), kind, seam=seam)


def _safe_name(target: Any) -> str:
    try:
        return name_of(target)
    except Exception:  # noqa: BLE001 - code of the app's, asked in unusual ways
        return type(target).__qualname__


def numbered(parts: Iterable[Part]) -> Chain:
    """Return `parts` as a chain.

    What instrumentation adds is counted apart, so that the rest has the same ids without it.
    """
    points: dict[tuple[str, Phase], Point] = {}
    added = itertools.count()

    def nodes(parts: Iterable[Part], prefix: str) -> Iterator[ChainNode]:
        own = itertools.count()
        for part in parts:
            ours = part.kind == INSTRUMENTATION
            node_id = f"+{next(added)}" if ours else f"{prefix}{next(own)}"
            points.update(((node_id, phase), point) for phase, point in part.points.items())
            yield ChainNode(
                id=node_id,
                name=part.name,
                kind=part.kind,
                where=part.where,
                mode=part.mode,
                seam=part.seam,
                phases=tuple(part.points),
                inner=tuple(nodes(part.inner, f"{node_id}.")),
            )

    return Chain(tuple(nodes(parts, "")), points)
