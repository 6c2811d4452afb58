"""The rows leave no pair out that can be had, and hold none that cannot."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations, product

from hypothesis import given, settings
from hypothesis import strategies as st

from .pairwise import feasible_pairs, pairs_of, rows

Row = Mapping[str, str]


@st.composite
def spaces(draw: st.DrawFn) -> tuple[dict[str, list[str]], list[Row]]:
    """Draw axes, and combinations of two or three values that do not go together."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=2, max_size=4))
    axes = {f"axis{i}": [f"{i}.{v}" for v in range(size)] for i, size in enumerate(sizes)}
    whole = st.fixed_dictionaries({axis: st.sampled_from(axes[axis]) for axis in axes})
    names = st.lists(st.sampled_from(list(axes)), min_size=2, max_size=3, unique=True)
    banned = st.builds(lambda row, kept: {axis: row[axis] for axis in kept}, whole, names)
    return axes, draw(st.lists(banned, max_size=12))


@given(spaces())
@settings(max_examples=300, deadline=None)
def test_every_pair_that_fits_is_in_a_row(space: tuple[dict[str, list[str]], list[Row]]) -> None:
    axes, banned = space

    def fits(row: Row) -> bool:
        return not any(ban.items() <= row.items() for ban in banned)

    every = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
    possible = {pair for row in every if fits(row) for pair in pairs_of(row)}
    made = rows(axes, fits)

    assert set(feasible_pairs(axes, fits)) == possible
    assert {pair for row in made for pair in pairs_of(row)} == possible
    assert all(fits(row) and row in every for row in made)
    assert len(made) == len({tuple(sorted(row.items())) for row in made})


def test_far_fewer_rows_than_combinations() -> None:
    axes = {f"axis{i}": [f"{i}.{v}" for v in range(4)] for i in range(6)}
    made = rows(axes, lambda row: True)
    largest = max(len(a) * len(b) for a, b in combinations(axes.values(), 2))
    assert largest <= len(made) <= 2 * largest < 4**6
    assert made == rows(axes, lambda row: True)
