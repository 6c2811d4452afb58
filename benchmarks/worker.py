"""A measuring process: builds the apps of one arm, then runs batches as it is told over a pipe."""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from typing import Any, Protocol

from . import arms, storm
from .spec import Batch, Spec


class Client(Protocol):
    """Sends requests to an app of this process."""

    def run(self, paths: Sequence[str]) -> int:
        """Request each of `paths`; return how many of them failed."""
        ...


class Worker:
    """The apps of one arm, by their number of layers, and what records their errors."""

    def __init__(self, spec: Spec) -> None:
        set_up_logs(formatted=spec.logged)
        self.telemetry = arms.start(spec.arm, spec.export_ms)
        self._clients = {count: client(spec, count) for count in spec.layers}

    def warm(self, paths: Sequence[str], rounds: int) -> dict[str, Any]:
        """Run requests that are not measured; then keep the collector off what stays for good."""
        for one in self._clients.values():
            for _ in range(rounds):
                one.run(paths)
        self.telemetry.flush()
        gc.collect()
        gc.freeze()
        return {}

    def still(self) -> dict[str, Any]:
        """Keep the collector out of what follows: when it comes depends on what came before."""
        gc.disable()
        return {}

    def run(self, batch: Batch) -> dict[str, Any]:
        """Run a batch; the export of its spans is part of it."""
        paths = batch.paths()
        run = self._clients[batch.layers].run
        flush = self.telemetry.flush
        wall, cpu = time.perf_counter(), time.process_time()
        failed = run(paths)
        flush()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        expected = sum(path == batch.fail for path in paths)
        if failed != expected:
            raise RuntimeError(f"{failed} of {len(paths)} requests failed, not {expected}")
        return {"cpu": cpu, "wall": wall}

    def recorded(self, path: str) -> dict[str, Any]:
        """Tell what arrives at the exporter for one request."""
        self.telemetry.taken()
        next(iter(self._clients.values())).run([path])
        return self.telemetry.taken()

    def storm(self, requests: int, steps: int, traced: bool) -> dict[str, Any]:
        """Fail without a pause, and watch memory."""
        one = next(iter(self._clients.values()))
        return storm.run(one, self.telemetry, requests, steps, traced=traced)


def client(spec: Spec, layers: int) -> Client:
    """Build an app of `spec` and return what sends requests to it."""
    if spec.framework == "starlette":
        from .apps import starlette_app

        return starlette_app.Client(
            starlette_app.build(spec.arm, layers, catching=spec.catching), _loop()
        )
    if spec.framework == "flask":
        from .apps import flask_app, wsgi_client

        return wsgi_client.Client(flask_app.build(spec.arm, layers, catching=spec.catching))
    from .apps import django_app, starlette_app, wsgi_client

    if spec.framework == "django-asgi":
        handler = django_app.build(spec.arm, layers, asgi=True, catching=spec.catching)
        return starlette_app.Client(handler, _loop())
    return wsgi_client.Client(django_app.build(spec.arm, layers, catching=spec.catching))


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def set_up_logs(*, formatted: bool) -> None:
    """Let records of errors be made, and formatted only if asked to.

    Frameworks and servers log an unhandled error with its traceback. That costs the same in all
    arms, as much as stock's event, and would hide what the arms differ in.
    """
    handler: logging.Handler = logging.NullHandler()
    if formatted:
        handler = logging.StreamHandler(open(os.devnull, "w"))  # noqa: SIM115 - for good
    logging.getLogger().addHandler(handler)


def main() -> None:
    """Answer each line of JSON with another one until the pipe is closed."""
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    worker = Worker(Spec.from_json(sys.argv[1]))
    print("{}", file=answers)
    for line in sys.stdin:
        name, arguments = json.loads(line)
        if name == "run":
            arguments = {"batch": Batch(**arguments)}
        print(json.dumps(getattr(worker, name)(**arguments)), file=answers)


if __name__ == "__main__":
    main()
