"""Few rows in which each value of an axis meets each value of every other one, where they fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations

Axes = Mapping[str, Sequence[str]]
Chosen = Mapping[str, str]
# Whether values chosen so far go together. Must not say no to what a further value would mend.
Fits = Callable[[Chosen], bool]
Pair = frozenset[tuple[str, str]]


def rows(axes: Axes, fits: Fits) -> list[dict[str, str]]:
    """Return rows that cover every pair which occurs in some row that fits; the same each time."""
    missing = dict.fromkeys(feasible_pairs(axes, fits))
    found: list[dict[str, str]] = []
    while missing:
        row = _row(axes, fits, dict(next(iter(missing))), missing)
        for pair in pairs_of(row):
            missing.pop(pair, None)
        found.append(row)
    return found


def pairs_of(row: Chosen) -> Iterator[Pair]:
    """Yield each pair of values in `row`."""
    yield from map(frozenset, combinations(row.items(), 2))


def feasible_pairs(axes: Axes, fits: Fits) -> Iterator[Pair]:
    """Yield each pair that some whole row holds."""
    for one, other in combinations(axes, 2):
        for first in axes[one]:
            for second in axes[other]:
                if _complete(axes, fits, {one: first, other: second}) is not None:
                    yield frozenset({(one, first), (other, second)})


def _row(
    axes: Axes, fits: Fits, chosen: dict[str, str], missing: Mapping[Pair, None]
) -> dict[str, str]:
    """Fill the axes that are open with what covers most of the missing pairs."""
    for axis in axes:
        if axis in chosen:
            continue
        open_to = [
            {**chosen, axis: value}
            for value in axes[axis]
            if _complete(axes, fits, {**chosen, axis: value}) is not None
        ]
        chosen = max(open_to, key=lambda row: sum(pair in missing for pair in pairs_of(row)))
    return chosen


def _complete(axes: Axes, fits: Fits, chosen: Chosen) -> Chosen | None:
    """Return a whole row that holds what is chosen, None if there is none."""
    if not fits(chosen):
        return None
    axis = next((axis for axis in axes if axis not in chosen), None)
    if axis is None:
        return chosen
    tried = (_complete(axes, fits, {**chosen, axis: value}) for value in axes[axis])
    return next((row for row in tried if row is not None), None)
