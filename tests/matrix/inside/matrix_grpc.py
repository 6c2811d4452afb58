"""gRPC's cases, under servers of both kinds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

from contract.telemetry import Telemetry, session
from grpc_cases import CASES, Outcome, Place, Shape
from matrix_trial import Arm, Trial
from test_grpc_corpus import Seen, Table, run_aio, run_sync, wrong

# They log each failure of an app, with its stack.
for name in ("grpc", "asyncio"):
    logging.getLogger(name).setLevel(logging.CRITICAL + 1)

ARMS = {"bare": "bare", "stock": "stock", "ours": "beside"}


class GrpcTrial(Trial):
    """An RPC that has been sent before: a server serves the whole table."""

    def __init__(self, kind: str, table: Table, shape: Shape, place: Place) -> None:
        super().__init__(place)
        self.kind = kind
        self.seen = {arm: table[ARMS[arm], shape.name, place.name] for arm in ARMS}
        self.name = f"{kind}-{shape.name}-{place.name}"

    def serve(self, arm: Arm) -> Seen:
        return self.seen[arm]

    def wrong(self, seen: Seen, telemetry: Telemetry, *, ours: bool) -> list[str]:
        return wrong(seen.spans, self.kind, self.case, ours=ours)

    def noticed(self, bare: Seen, seen: Seen) -> list[str]:
        before, after = self._told(bare), self._told(seen)
        return [] if before == after else [f"{before} became {after}"]

    def _told(self, seen: Seen) -> Outcome:
        # The client's own words for a deadline are now these, now those.
        return seen.outcome._replace(details="") if self.case.name == "deadline" else seen.outcome


def trials() -> Iterator[Trial]:
    """Yield each RPC to a server of each kind."""
    with session() as telemetry:
        tables = {"sync": run_sync(telemetry), "aio": asyncio.run(run_aio(telemetry))}
    for kind, table in tables.items():
        for shape, place in CASES:
            yield GrpcTrial(kind, table, shape, place)
