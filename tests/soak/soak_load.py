"""The load: 24 threads or 1,000 tasks at one app, every fifth request with an error."""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from opentelemetry import context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

import kit_faults
from contract import drive
from everylayer import own_failures
from kit_apps import ASGI, BARE, Arm, call, served
from soak_ledger import Counts, Witness, next_request, told

THREADS = 24
TASKS = 1000
ERROR_RATE = 0.2


class Canary:
    """Lives exactly as long as the request that holds it."""


@dataclass(frozen=True)
class Plan:
    """One app under load.

    Attributes:
        framework: of `kit_apps`.
        arm: who watches it.
        workers: threads or tasks at once.
    """

    framework: str
    arm: Arm
    workers: int

    def __str__(self) -> str:
        unit = "tasks" if self.asynchronous else "threads"
        by = "stock + everylayer" if self.arm.stock else "everylayer"
        return f"{self.framework}, {by}, {self.workers} {unit}"

    @property
    def asynchronous(self) -> bool:
        """Whether the workers are tasks of one event loop."""
        return self.framework in ASGI

    @property
    def faults(self) -> tuple[str, ...]:
        """The errors that this framework's package is to show."""
        left_out = {"ok", "exit"}
        if self.framework == "wsgi":
            # Nothing stands between the layer and the app.
            left_out.add("swallowed")
        return tuple(kind for kind in kit_faults.KINDS if kind not in left_out)


class Load:
    """An app, its witness and the canaries; `run` it as often as you like.

    Attributes:
        counts: of all runs.
        witness: sees every span.
    """

    def __init__(self, plan: Plan, app: Any, witness: Witness, answers: dict[str, Any]) -> None:
        self.plan = plan
        self.counts = Counts()
        self.witness = witness
        self._app = app
        self._answers = answers
        self._failures = sum(own_failures().values())
        self._canaries: weakref.WeakSet[Canary] = weakref.WeakSet()
        self._errors: weakref.WeakSet[BaseException] = weakref.WeakSet()

    def run(self, each: int, seed: int = 0) -> None:
        """Let every worker make `each` requests.

        Raises:
            BaseException: what a worker raised: that is a failure of this load, not of the app.
        """
        kit_faults.watchers.append(self._errors.add)
        try:
            if self.plan.asynchronous:
                asyncio.run(self._tasks(each, seed))
            else:
                self._threads(each, seed)
        finally:
            kit_faults.watchers.remove(self._errors.add)

    def alive(self) -> int:
        """Return how many requests and exceptions outlive the requests that are over."""
        gc.collect()
        return len(self._canaries) + len(self._errors)

    def own_failures(self) -> int:
        """Return how often everylayer failed since the load began."""
        return sum(own_failures().values()) - self._failures

    def _kinds(self, each: int, seed: int, worker: int) -> Iterator[str]:
        dice = random.Random(seed * 100_003 + worker)
        for _ in range(each):
            yield dice.choice(self.plan.faults) if dice.random() < ERROR_RATE else "ok"

    def _threads(self, each: int, seed: int) -> None:
        barrier = threading.Barrier(self.plan.workers)
        found: list[Counts] = []
        failed: list[BaseException] = []

        def work(worker: int) -> None:
            counts = Counts()
            try:
                barrier.wait()
                for kind in self._kinds(each, seed, worker):
                    number, header = next_request()
                    request = drive.environ(f"/{kind}/{number}", [header])
                    request["soak.canary"] = self._canary()
                    self._judge(drive.run_wsgi(self._app, request), number, kind, counts)
            except BaseException as error:
                failed.append(error)
            found.append(counts)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(self.plan.workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._finish(found, failed)

    async def _tasks(self, each: int, seed: int) -> None:
        async def work(worker: int) -> Counts:
            counts = Counts()
            for kind in self._kinds(each, seed, worker):
                number, header = next_request()
                request = drive.scope(f"/{kind}/{number}", [header])
                request["soak.canary"] = self._canary()
                self._judge(await drive.call_asgi(self._app, request), number, kind, counts)
            return counts

        self._finish(await asyncio.gather(*map(work, range(self.plan.workers))), [])

    def _canary(self) -> Canary:
        canary = Canary()
        self._canaries.add(canary)
        return canary

    def _judge(self, run: Any, number: int, kind: str, counts: Counts) -> None:
        counts.answers += told(run) != self._answers[kind]
        self.witness.judge(number, kind, counts)

    def _finish(self, found: list[Counts], failed: list[BaseException]) -> None:
        for counts in found:
            self.counts.add(counts)
        if failed:
            raise failed[0]


@contextmanager
def load(plan: Plan) -> Iterator[Load]:
    """Build the app of `plan`, with every span on its way to a witness."""
    witness = Witness()
    with served(plan.framework, BARE) as app:
        kinds = ("ok", *plan.faults)
        answers = {kind: told(call(app, plan.framework, f"/{kind}/0")) for kind in kinds}
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(witness))
    kept = trace._TRACER_PROVIDER
    trace._TRACER_PROVIDER = provider
    token = context.attach(context.Context())
    try:
        with served(plan.framework, plan.arm) as app:
            yield Load(plan, app, witness, answers)
    finally:
        context.detach(token)
        trace._TRACER_PROVIDER = kept
        provider.shutdown()


@contextmanager
def hasty(seconds: float = 1e-4) -> Iterator[None]:
    """Switch threads far more often than is usual."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def blocks() -> int:
    """Return how many pieces of memory are allocated: flat where nothing leaks."""
    gc.collect()
    return sys.getallocatedblocks()
