"""Apps on the loopback, and a real Prometheus that scrapes them."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"
_CONFIG = """
global: {{scrape_interval: {every}s, evaluation_interval: {every}s}}
rule_files: [{rules}]
scrape_configs:
"""
_JOB = """  - job_name: {name}
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


class App(NamedTuple):
    """A served app."""

    process: subprocess.Popen[str]
    address: str

    def ask(self, path: str, headers: Mapping[str, str]) -> int:
        """Send a request of a trace of its own; return the status of the response."""
        came = f"00-{random.getrandbits(128) or 1:032x}-{random.getrandbits(64) or 1:016x}-01"
        request = urllib.request.Request(
            f"{self.address}{path}", headers={"traceparent": came, **headers}
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                answer.read()
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code


class World(NamedTuple):
    """The apps by name, and Prometheus."""

    apps: dict[str, App]
    prometheus: str

    def query(self, expression: str) -> list[float]:
        """Return the values that Prometheus has for `expression`."""
        found = self.get("query", query=expression)
        return [float(each["value"][1]) for each in found["result"]]

    def firing(self) -> set[tuple[str, str]]:
        """Return name and priority of the alerts that fire."""
        return {
            (each["labels"]["alertname"], each["labels"]["priority"])
            for each in self.get("alerts")["alerts"]
            if each["state"] == "firing"
        }

    def get(self, path: str, **parameters: object) -> Any:
        """Ask the API of Prometheus."""
        url = f"{self.prometheus}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]


@contextlib.contextmanager
def running(
    scripts: Mapping[str, Path],
    rules: Path,
    folder: Path,
    *,
    every: int = 1,
    env: Mapping[str, str] | None = None,
) -> Iterator[World]:
    """Start apps and Prometheus; stop them at the end.

    Args:
        scripts: job -> what serves it, called with its port and that of its metrics.
        rules: what Prometheus evaluates.
        folder: for its configuration and data.
        every: seconds between two scrapes.
        env: variables of the apps.
    """
    started: list[subprocess.Popen[str]] = []
    apps, config = {}, _CONFIG.format(rules=rules, every=every)
    try:
        for name, script in scripts.items():
            port, exporter = free_port(), free_port()
            apps[name] = App(_serve(script, port, exporter, env or {}), f"http://127.0.0.1:{port}")
            started.append(apps[name].process)
            config += _JOB.format(name=name, port=exporter)
        for app in apps.values():
            assert app.process.stdout is not None
            assert app.process.stdout.readline() == "ready\n"
        (folder / "prometheus.yml").write_text(config, encoding="utf-8")
        port = free_port()
        command = [
            "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ]
        started.append(subprocess.Popen(command, text=True))
        world = World(apps, f"http://127.0.0.1:{port}")
        _wait(lambda: world.query("vector(1)") == [1])
        yield world
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(20)
            if process.stdout is not None:
                process.stdout.close()


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _serve(script: Path, port: int, exporter: int, env: Mapping[str, str]) -> subprocess.Popen[str]:
    folders = [str(HERE), str(EXAMPLES), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, str(script), str(port), str(exporter)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, folders)), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # each failure, with its stack
        text=True,
    )


def _wait(ready: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if ready():
                return
        time.sleep(0.2)
    raise TimeoutError(f"Prometheus did not answer within {seconds:.0f} s")
