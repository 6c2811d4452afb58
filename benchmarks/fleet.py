"""Starts the measuring processes and makes them take turns."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from .apps import layers
from .spec import Batch, Cost, Spec

ROOT = Path(__file__).parents[1]


class Process:
    """One measuring process, which sleeps unless it is asked for something."""

    def __init__(self, spec: Spec, corpus: Path, prefix: Sequence[str] = ()) -> None:
        self.spec = spec
        self._child = subprocess.Popen(
            [*prefix, sys.executable, "-m", "benchmarks.worker", spec.to_json()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, layers.FOLDER: str(corpus), **_PLAIN},
        )

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._child.pid

    def ready(self) -> None:
        """Wait until its apps are built."""
        self._answer()

    def ask(self, name: str, **arguments: Any) -> dict[str, Any]:
        """Have it run one method of `Worker`, and return the answer."""
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps([name, arguments]) + "\n")
        self._child.stdin.flush()
        return self._answer()

    def run(self, batch: Batch) -> Cost:
        """Have it run a batch."""
        return Cost(batch.requests, **self.ask("run", **dataclasses.asdict(batch)))

    def stop(self) -> None:
        """End it."""
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.wait(60)

    def _answer(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of {self.spec} ended, status {self._child.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


# The measured processes are to be alike in everything but their arm.
_PLAIN = {"PYTHONHASHSEED": "0", "OTEL_SDK_DISABLED": "", "PYTHONDONTWRITEBYTECODE": ""}


Take = Callable[[Spec, Batch, int, Cost], None]
Wants = Callable[[Spec, Batch, int], bool]


def _everything(spec: Spec, batch: Batch, turn: int) -> bool:
    return True


class Fleet:
    """Processes that are measured side by side.

    Args:
        specs: what each of them is.
        corpus: folder of the generated modules.
    """

    def __init__(self, specs: Iterable[Spec], corpus: Path) -> None:
        self.processes = [Process(spec, corpus) for spec in specs]
        for process in self.processes:
            process.ready()

    @classmethod
    def of(cls, processes: Sequence[Process]) -> Fleet:
        """Return some processes of another fleet, which stops them."""
        made = cls((), Path())
        made.processes = list(processes)
        return made

    def __enter__(self) -> Fleet:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        for process in self.processes:
            process.stop()

    def each(self, name: str, **arguments: Any) -> list[dict[str, Any]]:
        """Ask all of them the same, one after the other."""
        return [process.ask(name, **arguments) for process in self.processes]

    def interleave(
        self, batches: Sequence[Batch], rounds: int, take: Take, wants: Wants = _everything
    ) -> None:
        """Run each batch in each process `rounds` times, so that drift hits all alike.

        Within a round the processes take turns batch by batch; who begins changes each time.

        Args:
            batches: what is run.
            rounds: how often.
            take: is given each result.
            wants: tells whether a process takes part in a batch in this round.
        """
        count = len(self.processes)
        for turn in range(rounds):
            for position, batch in enumerate(batches):
                first = (turn + position) % count
                for process in self.processes[first:] + self.processes[:first]:
                    if wants(process.spec, batch, turn):
                        take(process.spec, batch, turn, process.run(batch))
