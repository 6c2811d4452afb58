"""Counts where threads, forks and finalizers are at work, and where nobody reads them."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry.metrics import CallbackOptions

import everylayer
from contract.drive import environ, run_wsgi
from everylayer import failsafe
from everylayer.settings import Settings
from everylayer.sinks import metrics, served
from everylayer.sinks.sums import Sums
from everylayer.wsgi import Seam
from metrics_apps import serving
from metrics_reading import Reading

_ALONE = """
import sys
import everylayer
from everylayer.settings import Settings, resolve
from everylayer.sinks import metrics, served
from everylayer.wsgi import Seam

assert "opentelemetry.metrics" not in sys.modules, "whoever uses no metrics loads none"
rules = resolve()
assert metrics._instruments is not None
assert metrics.live() is None


def broken(environ, start_response):
    raise KeyError("gone")


for _ in range(3):
    try:
        Seam(broken, rules)({}, print)
    except KeyError:
        pass
assert served.total() == 3
assert metrics.live() is None
assert not everylayer.own_failures()
from opentelemetry.metrics import set_meter_provider
from opentelemetry.sdk.metrics import MeterProvider

set_meter_provider(MeterProvider())
assert metrics.live() is not None, "a provider may come later"
"""


def answer(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [])
    return [b"ok"]


def test_without_a_provider_nothing_is_measured() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _ALONE], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_requests_of_many_threads_are_all_counted(reading: Reading) -> None:
    app = Seam(answer, Settings())

    def ask(_: int) -> None:
        for _ in range(500):
            run_wsgi(app, environ())

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(4)))
        # Reading is no request, however often it is done.
        assert [served.total() for _ in range(3)] == [served.total()] * 3
    assert reading.series() == {"everylayer.requests": {(): 2000}}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_begins_at_nothing(failures: int) -> None:
    failsafe.count_failure("a place")
    known = dict(failsafe.own_failures())
    served.count()
    before = served.total()
    child = os.fork()
    if child == 0:
        served.count()
        right = served.total() == 1 and metrics._before_fork == known
        os._exit(0 if right else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert served.total() == before
    assert metrics._before_fork == {}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_does_not_count_its_parents_errors_again(reading: Reading) -> None:
    instruments = metrics.live()
    assert instruments is not None
    with serving("flask") as serve:
        serve("/fail", [])
    every = (instruments.placements, instruments.traces)
    assert all(list(sums(CallbackOptions())) for sums in every)
    child = os.fork()
    if child == 0:
        os._exit(1 if any(list(sums(CallbackOptions())) for sums in every) else 0)
    assert os.waitpid(child, 0)[1] == 0
    assert sum(reading.series()["everylayer.error.placements"].values()) == 1


def test_sums_of_many_threads_are_whole() -> None:
    sums = Sums(("a", "b"))

    def add(name: str) -> None:
        for _ in range(5000):
            sums.add(1, "all", "of them")
            sums.add(2, "one", name)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, "vwxy"))
    found = {tuple((o.attributes or {}).items()): o.value for o in sums(CallbackOptions())}
    assert found == {(("a", "all"), ("b", "of them")): 20_000} | {
        (("a", "one"), ("b", name)): 10_000 for name in "vwxy"
    }


def test_a_finalizer_that_records_while_something_is_counted_does_not_hang(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    instruments = metrics.live()
    assert instruments is not None
    counter = instruments.errors

    class Interrupted:
        def add(self, *args: Any) -> None:
            # As the collector would, with the SDK's lock held.
            everylayer.record(ValueError("in a finalizer"))
            counter.add(*args)

    monkeypatch.setattr(instruments, "errors", Interrupted())
    with serving("flask") as serve:
        serve("/fail", [])
    found = reading.series()
    assert sum(found["everylayer.errors"].values()) == 1
