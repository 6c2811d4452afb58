"""CPU a request and throughput within the process: by arm, by share of errors, by kind of error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .apps import faults
from .arms import ARMS, Arm
from .fleet import Fleet
from .plan import Plan
from .results import Key, Requests, Round
from .spec import Batch, Cost, Framework, Spec

RATES = (0.0, 0.01, 0.05, 0.1, 0.15, 0.2)
KINDS = ("own", "mixed", "name", "attribute", "template")
LAYER_COUNTS = (1, 2, 4, 8, 16, 32, 64)
OURS: tuple[Arm, ...] = ("bare", "stock", "everylayer")
_PLAIN = ["/ok", "/fail/deep", "/layer"]


def case_of(batch: Batch) -> str:
    """Return the name of the way in which a batch fails."""
    return batch.fail.rpartition("/")[2] if batch.rate else "deep"


class Bench:
    """Measures one framework and keeps what it finds.

    Attributes:
        requests: all rounds.
        recorded: exception events that one failing request leaves, by framework, arm and case.
    """

    def __init__(self, plan: Plan, corpus: Path) -> None:
        self._plan = plan
        self._corpus = corpus
        self._fleets = 0
        self.requests = Requests()
        self.recorded: list[dict[str, Any]] = []

    def rates(self, framework: Framework) -> None:
        """Measure all arms at each share of errors, and an error in a layer."""
        plan = self._plan
        batches = [Batch(plan.batch, rate) for rate in RATES]
        batches += [Batch(plan.failing, 1.0), Batch(plan.failing, 1.0, fail="/layer")]
        for _ in range(plan.fleets):
            with self._fleet(framework, ARMS) as fleet:
                fleet.each("warm", paths=_PLAIN, rounds=plan.warm)
                if not self._knows(framework):
                    self._look(fleet, ["/fail/deep", "/layer"])
                self._run(fleet, batches, plan.rounds)
                happy = Fleet.of([p for p in fleet.processes if p.spec.arm in OURS])
                self._run(happy, [Batch(plan.batch)], plan.happy_rounds, first=plan.rounds)

    def kinds(self, framework: Framework) -> None:
        """Measure many paths in rotation, errors with suggestions, and templates."""
        plan = self._plan
        batches = [Batch(plan.failing, 1.0, fail=f"/fail/{kind}") for kind in KINDS]
        with self._fleet(framework, OURS) as fleet:
            fleet.each("warm", paths=[batch.fail for batch in batches], rounds=plan.warm // 4)
            # Each path once, so that nothing is met for the first time.
            fleet.each("warm", paths=["/fail/own", "/fail/mixed"] * faults.PATHS, rounds=1)
            self._look(fleet, [batch.fail for batch in batches])
            self._run(fleet, batches, plan.kind_rounds)

    def logged(self, framework: Framework) -> None:
        """Measure once more with logs that format each traceback."""
        plan = self._plan
        batches = [Batch(plan.batch), Batch(plan.batch, 0.2), Batch(plan.failing, 1.0)]
        with self._fleet(framework, OURS, logged=True) as fleet:
            fleet.each("warm", paths=_PLAIN, rounds=plan.warm)
            self._run(fleet, batches, plan.rounds)

    def growth(self, framework: Framework) -> None:
        """Measure apps with ever more layers."""
        plan = self._plan
        counts = LAYER_COUNTS if plan.all_counts else LAYER_COUNTS[:4]
        batches = [
            batch
            for count in counts
            for batch in (
                Batch(plan.batch // 2, layers=count),
                Batch(plan.failing // 2, 1.0, layers=count),
            )
        ]
        with self._fleet(framework, OURS, layers=counts) as fleet:
            fleet.each("warm", paths=_PLAIN, rounds=plan.warm)
            self._run(fleet, batches, plan.growth_rounds, grows=True)

    def _fleet(self, framework: Framework, arms: Sequence[Arm], **options: Any) -> Fleet:
        self._fleets += 1
        return Fleet([Spec(framework, arm, **options) for arm in arms], self._corpus)

    def _run(
        self,
        fleet: Fleet,
        batches: Sequence[Batch],
        rounds: int,
        *,
        first: int = 0,
        grows: bool = False,
    ) -> None:
        def take(spec: Spec, batch: Batch, turn: int, cost: Cost) -> None:
            key = Key(
                spec.framework, spec.arm, batch.rate, case_of(batch), batch.layers, spec.logged
            )
            if grows:
                # Eight layers beside apps of other sizes are not the eight layers of `rates`.
                key = Key(spec.framework, spec.arm, batch.rate, "growth", batch.layers)
            taken = Round(self._fleets, first + turn, cost.requests, cost.cpu, cost.wall)
            self.requests.add(key, taken)

        fleet.interleave(batches, rounds, take, self._wants)

    def _wants(self, spec: Spec, batch: Batch, turn: int) -> bool:
        # sentry-sdk takes ten times as long as the others for an error.
        return spec.arm in OURS or turn % 3 == 0

    def _knows(self, framework: Framework) -> bool:
        return any(row["framework"] == framework for row in self.recorded)

    def _look(self, fleet: Fleet, paths: Sequence[str]) -> None:
        for path in paths:
            for process, found in zip(
                fleet.processes, fleet.each("recorded", path=path), strict=True
            ):
                self.recorded.append(
                    {
                        "framework": process.spec.framework,
                        "arm": process.spec.arm,
                        "case": path.rpartition("/")[2],
                        "events": found["events"],
                    }
                )
