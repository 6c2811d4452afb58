"""A chain while it is read: parts in order, and then the numbered nodes that the audit wants."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from ..faults.point import Point
from ..layers import name_of
from .adapter import Chain
from .model import ChainNode, Phase

INSTRUMENTATION = "instrumentation"
Points = dict[Phase, Point]
Found = TypeVar("Found", bound="Part | None")


class Part:
    """One part of a chain; what it is made of is that of a `ChainNode`."""

    __slots__ = ("inner", "kind", "mode", "name", "points", "seam", "where")

    def __init__(
        self,
        name: str,
        kind: str,
        where: str = "",
        mode: str = "sync",
        seam: str = "",
        points: Points | None = None,
        inner: Iterable[Part] = (),
    ) -> None:
        self.name = name
        self.kind = kind
        self.where = where
        self.mode = mode
        self.seam = seam
        self.points = points or {}
        self.inner = list(inner)


def attempted(make: Callable[[], Found], target: Any, kind: str, seam: str = "") -> Found | Part:
    """Return `make()`; where `target` cannot be read, it stays in the tree, without points."""
    try:
        return make()
    except Exception:  # noqa: BLE001 - code of the app's, asked in unusual ways
        return Part(_safe_name(target), kind, seam=seam)


def gathered(read: Callable[[], Iterable[Part]], name: str, kind: str) -> list[Part]:
    """Return what `read` returns; one that fails leaves a single bare part."""
    try:
        return list(read())
    except Exception:  # noqa: BLE001 - code of the app's, asked in unusual ways
        return [Part(name, kind)]


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
            for phase, point in part.points.items():
                points[node_id, phase] = point
            yield ChainNode(
                node_id,
                part.name,
                part.kind,
                part.where,
                part.mode,
                part.seam,
                tuple(part.points),
                tuple(nodes(part.inner, f"{node_id}.")),
            )

    return Chain(tuple(nodes(parts, "")), points)
