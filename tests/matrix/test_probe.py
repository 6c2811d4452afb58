"""What the probe makes of trials that go wrong in each way."""

from __future__ import annotations

from opentelemetry import trace

from contract.telemetry import Telemetry, session
from matrix_probe import probe
from matrix_trial import Arm, Trial


class Planned(Trial):
    """Makes a span in each arm with an instrumentation; what is wrong was laid down before."""

    def __init__(
        self, name: str, *, failing: bool = True, stock: bool = False, **ours: list[str]
    ) -> None:
        self.name = name
        self.failing = failing
        self.stock = stock
        self.ours = ours
        self.seen: list[tuple[Arm, int]] = []

    def serve(self, arm: Arm) -> None:
        if arm != "bare":
            trace.get_tracer("planned").start_span(arm).end()

    def wrong(self, seen: None, telemetry: Telemetry, *, ours: bool) -> list[str]:
        self.seen.append(("ours" if ours else "stock", len(telemetry.spans)))
        return self.ours.get("wrong", []) if ours else ["lost"] * self.stock

    def noticed(self, bare: None, seen: None) -> list[str]:
        return self.ours.get("noticed", [])


def test_each_way_to_go_wrong_is_listed_apart() -> None:
    trials = [
        Planned("kept"),
        Planned("lost by stock", stock=True),
        Planned("lost", wrong=["no event"]),
        Planned("recorded", failing=False, wrong=["an event"]),
        Planned("told twice", wrong=["status 200 became 500"], noticed=["status 200 became 500"]),
    ]
    with session() as telemetry:
        found = probe(trials, telemetry)

    assert (found["tried"], found["failing"]) == (5, 4)
    assert found["stock_lost"] == ["lost by stock"]
    assert found["ours_lost"] == {"lost": ["no event"]}
    assert found["unwanted"] == {"recorded": ["an event"]}
    assert found["changed"] == {"told twice": ["status 200 became 500"]}
    # Each arm sees its own spans alone; what must not fail is not asked of stock.
    assert [trial.seen for trial in trials] == [
        *[[("stock", 1), ("ours", 1)]] * 3,
        [("ours", 1)],
        [("stock", 1), ("ours", 1)],
    ]
