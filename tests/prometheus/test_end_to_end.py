"""App, exporter, a real Prometheus: the alert fires when traces are lost, and not before."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from prometheus_rules import shortened

pytest.importorskip("opentelemetry.exporter.prometheus", reason="`nox -s prometheus` brings it")
pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None,
    reason="Prometheus is not there: apt-get install prometheus",
)

HERE = Path(__file__).parent
CONFIG = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: shop
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


class World(NamedTuple):
    """The app, and Prometheus."""

    app: subprocess.Popen[str]
    shop: str
    prometheus: str

    def fail(self) -> None:
        """Send the app a request that fails, of a trace of its own."""
        came = f"00-{random.getrandbits(128) or 1:032x}-{random.getrandbits(64) or 1:016x}-01"
        headers = {"traceparent": came, "x-fail": "authentication"}
        request = urllib.request.Request(f"{self.shop}/orders/7", headers=headers)
        with pytest.raises(urllib.error.HTTPError) as found:
            urllib.request.urlopen(request, timeout=10)
        assert found.value.code == 500

    def query(self, expression: str) -> list[float]:
        """Return the values that Prometheus has for `expression`."""
        found = self.ask(f"query?{urllib.parse.urlencode({'query': expression})}")
        return [float(each["value"][1]) for each in found["result"]]

    def firing(self) -> set[tuple[str, str]]:
        """Return name and priority of the alerts that fire."""
        return {
            (each["labels"]["alertname"], each["labels"]["priority"])
            for each in self.ask("alerts")["alerts"]
            if each["state"] == "firing"
        }

    def ask(self, path: str) -> Any:
        """Ask the API of Prometheus."""
        with urllib.request.urlopen(f"{self.prometheus}/api/v1/{path}", timeout=10) as answer:
            return json.load(answer)["data"]

    def until(self, done: Callable[[], object], seconds: float) -> bool:
        """Send requests that fail until `done()`, or for so many seconds."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.fail()
            time.sleep(0.1)
            with contextlib.suppress(OSError):
                if done():
                    return True
        return False


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    shop, exporter, prometheus = free_port(), free_port(), free_port()
    rules = tmp_path / "short.rules.yml"
    rules.write_text(shortened(), encoding="utf-8")
    config = tmp_path / "prometheus.yml"
    config.write_text(CONFIG.format(rules=rules, port=exporter), encoding="utf-8")
    examples = str(HERE.parents[1] / "examples")
    paths = os.pathsep.join(filter(None, [examples, os.environ.get("PYTHONPATH")]))
    started = []
    try:
        app = subprocess.Popen(
            [sys.executable, str(HERE / "prometheus_shop.py"), str(shop), str(exporter)],
            env={**os.environ, "PYTHONPATH": paths},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # each failure, with its stack
            text=True,
        )
        started.append(app)
        assert app.stdout is not None
        assert app.stdout.readline() == "ready\n"
        server = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={tmp_path / 'data'}",
                f"--web.listen-address=127.0.0.1:{prometheus}",
                "--log.level=error",
            ],
            text=True,
        )
        started.append(server)
        yield World(app, f"http://127.0.0.1:{shop}", f"http://127.0.0.1:{prometheus}")
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(20)
            if process.stdout is not None:
                process.stdout.close()


def test_the_page_comes_with_the_loss_and_not_before(world: World) -> None:
    complete = "everylayer:completeness:ratio_rate5m == 1"
    assert world.until(lambda: world.query(complete), 30), "errors arrive, on whole traces"
    # As long as any window of the page is.
    assert not world.until(lambda: world.firing(), 12), "silent while nothing is lost"
    assert world.query("everylayer_error_traces_total{everylayer_trace_state='no_parent'}") == [0]

    world.app.send_signal(signal.SIGUSR1)
    page = ("EverylayerTracesBreakFast", "P1")
    assert world.until(lambda: page in world.firing(), 30), "the loss is paged"
    assert world.query("everylayer_error_traces_total{everylayer_trace_state='no_parent'}") > [10]
    assert world.query("everylayer:completeness:ratio_rate5m") < [0.99]
