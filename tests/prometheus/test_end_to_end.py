"""App, exporter, a real Prometheus: the alert fires when traces are lost, and not before."""

from __future__ import annotations

import contextlib
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from prometheus_rules import shortened
from prometheus_world import World, running

pytest.importorskip("opentelemetry.exporter.prometheus", reason="`nox -s prometheus` brings it")
pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None,
    reason="Prometheus is not there: apt-get install prometheus",
)

SHOP = Path(__file__).with_name("prometheus_shop.py")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    rules = tmp_path / "short.rules.yml"
    rules.write_text(shortened(), encoding="utf-8")
    with running({"shop": SHOP}, rules, tmp_path) as world:
        yield world


def failing_until(world: World, done: Callable[[], object], seconds: float) -> bool:
    """Send requests that fail until `done()`, or for so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert world.apps["shop"].ask("/orders/7", {"x-fail": "authentication"}) == 500
        time.sleep(0.1)
        with contextlib.suppress(OSError):
            if done():
                return True
    return False


def test_the_page_comes_with_the_loss_and_not_before(world: World) -> None:
    lost = "everylayer_error_traces_total{everylayer_trace_state='no_parent'}"
    complete = "everylayer:completeness:ratio_rate5m == 1"
    assert failing_until(world, lambda: world.query(complete), 30), "errors arrive, on whole traces"
    # As long as any window of the page is.
    assert not failing_until(world, world.firing, 12), "silent while nothing is lost"
    assert world.query(lost) == [0]

    world.apps["shop"].process.send_signal(signal.SIGUSR1)
    page = ("EverylayerTracesBreakFast", "P1")
    assert failing_until(world, lambda: page in world.firing(), 30), "the loss is paged"
    assert world.query(lost) > [0]
    assert world.query("everylayer:completeness:ratio_rate5m") < [0.99]
