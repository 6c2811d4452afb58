"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Sizes of all parts; the defaults take some ten minutes on two cores.

    Attributes:
        fleets: sets of processes for the happy path and the shares of errors.
        batch: requests of a batch; a hundred, so that one of them can be 1 %.
        failing: requests of a batch that all fail.
        warm: times that each path is requested before anything is measured.
        rounds: turns of each process at each share of errors.
        happy_rounds: further ones without errors, where one part in a hundred counts.
        kind_rounds: turns at each kind of error.
        growth_rounds: turns at each number of layers.
        all_counts: go up to the largest number of layers.
        slices: turns of each server.
        slice_seconds: how long one of them lasts.
        storm: errors without a pause.
        instructions: requests of the smaller counted batch; 0 leaves the counts out.
        renderer_rounds: turns of the renderer and the standard library in each case.
        monitor_rounds: turns with and without the monitor in each case.
    """

    fleets: int = 3
    batch: int = 100
    failing: int = 20
    warm: int = 60
    rounds: int = 7
    happy_rounds: int = 40
    kind_rounds: int = 16
    growth_rounds: int = 12
    all_counts: bool = True
    slices: int = 3
    slice_seconds: float = 0.4
    storm: int = 10_000
    instructions: int = 40
    renderer_rounds: int = 15
    monitor_rounds: int = 41


FULL = Plan()
QUICK = Plan(
    fleets=1,
    warm=6,
    rounds=3,
    happy_rounds=4,
    kind_rounds=2,
    growth_rounds=2,
    all_counts=False,
    slices=1,
    slice_seconds=0.15,
    storm=300,
    instructions=0,
    renderer_rounds=3,
    monitor_rounds=3,
)
