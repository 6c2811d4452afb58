"""Latency under real servers: one process each, eight connections, servers loaded in turn."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from . import load
from .apps import layers
from .apps.work import WORK_MS
from .arms import ARMS
from .fleet import ROOT
from .plan import Plan
from .serve import VARIABLE
from .spec import Batch, Framework, Spec

THREADS = 4
SERVERS: dict[Framework, str] = {
    "django-wsgi": "gunicorn",
    "django-asgi": "uvicorn",
    "flask": "gunicorn",
    "starlette": "uvicorn",
}
# An uneven number: connections would otherwise get stuck to one kind of request.
_CYCLE = 35
_START_SECONDS = 60.0


class Server:
    """A server of one arm on a loopback port."""

    def __init__(self, spec: Spec, corpus: Path) -> None:
        self.spec = spec
        self.port = _free_port()
        self._process = subprocess.Popen(
            [sys.executable, "-m", *_command(spec.framework, self.port)],
            cwd=ROOT,
            env={**os.environ, VARIABLE: spec.to_json(), layers.FOLDER: str(corpus)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def ready(self) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            if self._process.poll() is not None:
                raise RuntimeError(f"the server of {self.spec} ended: {self._process.returncode}")
            try:
                load.run(self.port, Batch(1), 0.01, connections=1)
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)


def measure(framework: Framework, plan: Plan, corpus: Path) -> list[dict[str, Any]]:
    """Load the server of each arm in turn; return one row for each slice of load."""
    rows = []
    servers = [Server(Spec(framework, arm), corpus) for arm in ARMS]
    try:
        for server in servers:
            server.ready()
            load.run(server.port, Batch(_CYCLE, 0.2), max(plan.slice_seconds, 0.3))
        for turn in range(plan.slices):
            for work in (False, True):
                for rate in (0.0, 0.2):
                    ok, fail = ("/work/ok", "/work/fail") if work else ("/ok", "/fail/deep")
                    batch = Batch(_CYCLE, rate, fail=fail, ok=ok)
                    first = turn % len(servers)
                    for server in servers[first:] + servers[:first]:
                        found = load.run(server.port, batch, plan.slice_seconds)
                        row = _row(server.spec, rate, work, turn, found)
                        rows.append(row)
    finally:
        for server in servers:
            server.__exit__(None, None, None)
    return rows


def _row(spec: Spec, rate: float, work: bool, turn: int, found: load.Slice) -> dict[str, Any]:
    if rate == 0 and found.failed:
        raise RuntimeError(f"{found.failed} requests failed that should work: {spec}")
    ordered = sorted(found.latencies)
    count = len(ordered)
    return {
        "framework": spec.framework,
        "arm": spec.arm,
        "rate": rate,
        "work_ms": WORK_MS if work else 0.0,
        "turn": turn,
        "requests": count,
        "failed": found.failed,
        "per_second": count / found.seconds,
        "p50_ms": ordered[count // 2] * 1e3,
        "p95_ms": ordered[min(count * 95 // 100, count - 1)] * 1e3,
        "p99_ms": ordered[min(count * 99 // 100, count - 1)] * 1e3,
    }


def _command(framework: Framework, port: int) -> list[str]:
    """Return how the server is started; its own error log would format each traceback."""
    if SERVERS[framework] == "uvicorn":
        return [
            *("uvicorn", "--factory", "benchmarks.serve:app"),
            *("--port", str(port), "--log-level", "critical", "--no-access-log"),
        ]
    return [
        *("gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "1"),
        *("--worker-class", "gthread", "--threads", str(THREADS), "--keep-alive", "60"),
        *("--log-level", "critical", "benchmarks.serve:app()"),
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
