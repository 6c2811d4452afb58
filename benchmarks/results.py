"""What was measured: rounds of batches, and the numbers that they come to."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .arms import Arm
from .spec import LAYERS, Framework


@dataclass(frozen=True)
class Key:
    """What was sent to whom.

    Attributes:
        framework: the app's.
        arm: its instrumentation.
        rate: share of requests that failed.
        case: how they failed; without failures always `deep`.
        layers: how many there were.
        logged: tracebacks were also formatted into a log.
    """

    framework: Framework
    arm: Arm
    rate: float = 0.0
    case: str = "deep"
    layers: int = LAYERS
    logged: bool = False

    def of(self, arm: Arm) -> Key:
        """Return the same for another arm."""
        return dataclasses.replace(self, arm=arm)

    def at(self, rate: float) -> Key:
        """Return the same for another share of failures."""
        return dataclasses.replace(self, rate=rate)


class Round(NamedTuple):
    """One batch: which processes, which turn, and seconds of CPU and of the clock."""

    fleet: int
    turn: int
    requests: int
    cpu: float
    wall: float


class Spread(NamedTuple):
    """A median and the quartiles around it."""

    low: float
    median: float
    high: float
    rounds: int


def spread(values: Sequence[float]) -> Spread:
    """Return the quartiles of `values`."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0], 1)
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(low, median, high, len(values))


class Requests:
    """Rounds by what was sent to whom."""

    def __init__(self, rounds: Mapping[Key, Sequence[Round]] | None = None) -> None:
        self.rounds: dict[Key, list[Round]] = {k: list(v) for k, v in (rounds or {}).items()}

    def __contains__(self, key: Key) -> bool:
        return key in self.rounds

    def add(self, key: Key, taken: Round) -> None:
        """Keep one more round."""
        self.rounds.setdefault(key, []).append(taken)

    def cpu_us(self, key: Key) -> Spread:
        """Return microseconds of CPU a request."""
        return spread([r.cpu / r.requests * 1e6 for r in self.rounds[key]])

    def throughput(self, key: Key) -> Spread:
        """Return requests a second, by the clock, one after the other."""
        return spread([r.requests / r.wall for r in self.rounds[key]])

    def ratio(self, key: Key, to: Key) -> Spread:
        """Return CPU a request, as a ratio of two arms in the same round."""
        return spread([a for _, a in self._ratios(key, to)])

    def ratio_by_fleet(self, key: Key, to: Key) -> list[float]:
        """Return the median ratio of each set of processes: they differ more than rounds do."""
        ratios = self._ratios(key, to)
        fleets = sorted({fleet for fleet, _ in ratios})
        return [statistics.median(r for f, r in ratios if f == fleet) for fleet in fleets]

    def _ratios(self, key: Key, to: Key) -> list[tuple[int, float]]:
        others = {(r.fleet, r.turn): r.cpu / r.requests for r in self.rounds[to]}
        return [
            (r.fleet, r.cpu / r.requests / others[r.fleet, r.turn])
            for r in self.rounds[key]
            if (r.fleet, r.turn) in others
        ]

    def to_json(self) -> list[dict[str, Any]]:
        """Return all rounds, for a file."""
        return [
            {**dataclasses.asdict(key), "rounds": [list(r) for r in rounds]}
            for key, rounds in self.rounds.items()
        ]

    @classmethod
    def from_json(cls, rows: Iterable[Mapping[str, Any]]) -> Requests:
        """Return what `to_json` made."""
        made = cls()
        for row in rows:
            key = Key(**{name: value for name, value in row.items() if name != "rounds"})
            made.rounds[key] = [Round(*values) for values in row["rounds"]]
        return made
