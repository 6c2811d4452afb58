"""A chain while it is read: parts in order, numbered at the end."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from everylayer.audit.adapter import Chain
from everylayer.audit.model import ChainNode, Phase
from everylayer.faults.point import Point

INSTRUMENTATION = "instrumentation"
Points = dict[Phase, Point]


@dataclass
class Part:
    """A `ChainNode` that has no id yet."""

    name: str
    kind: str
    where: str = ""
    mode: str = "sync"
    seam: str = ""
    points: Points = field(default_factory=dict)
    inner: list[Part] = field(default_factory=list)


def gathered(read: Callable[[], Iterable[Part]], name: str, kind: str) -> list[Part]:
    """Return what `read` yields; one that fails leaves what it had, and a bare part."""
    found: list[Part] = []
    try:
        for part in read():
            found.append(part)
    except Exception:  # noqa: BLE001 - code of the app's, asked in unusual ways
        found.append(Part(name, kind))
    return found


def numbered(parts: Iterable[Part]) -> Chain:
    """Return `parts` as a chain; instrumentation is counted apart, so that other ids stay."""
    points: dict[tuple[str, Phase], Point] = {}
    added = itertools.count()

    def node(part: Part, prefix: str, own: itertools.count[int]) -> ChainNode:
        ours = part.kind == INSTRUMENTATION
        name = f"+{next(added)}" if ours else f"{prefix}{next(own)}"
        points.update({(name, phase): point for phase, point in part.points.items()})
        return ChainNode(
            name,
            part.name,
            part.kind,
            part.where,
            part.mode,
            part.seam,
            tuple(part.points),
            nodes(part.inner, f"{name}."),
        )

    def nodes(parts: Iterable[Part], prefix: str) -> tuple[ChainNode, ...]:
        own = itertools.count()
        return tuple(node(part, prefix, own) for part in parts)

    return Chain(nodes(parts, ""), points)
