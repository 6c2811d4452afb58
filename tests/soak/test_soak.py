"""The soak in small: a fixed number of requests; `python -m nox -s soak` runs it for long."""

from __future__ import annotations

import gc
import logging
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import everylayer
import everylayer_django
import everylayer_flask
import everylayer_starlette
import kit_faults
from contract.versions import STREAMS_FAIL_IN_GROUPS
from everylayer import Layer, Settings, volume
from everylayer.error_record import build
from everylayer.page import Page
from kit_apps import BOTH, OURS, STOCK
from soak_load import THREADS, Load, Plan, blocks, hasty, load

PLANS = (
    Plan("wsgi", OURS, THREADS),
    Plan("flask", OURS, THREADS),
    Plan("flask", BOTH, THREADS),
    Plan("django-wsgi", OURS, THREADS),
    Plan("django-wsgi", BOTH, THREADS),
    Plan("asgi", OURS, 500),
    Plan("starlette", OURS, 1000),
    Plan("starlette", BOTH, 250),
    Plan("django-asgi", OURS, 250),
    Plan("django-asgi", BOTH, 100),
)
# One object and what it refers to, for each error, is more than this.
BLOCKS_PER_ERROR = 2
A_RECORD = build(
    ValueError("x"), None, Settings(), layer=Layer("x", "app"), phase="", handled=True, time_ns=1
)
BYTES_PER_ERROR = 100
# A leak grows in every round; a cache or a table does not.
ROUNDS = 8
# It keeps something for each thread that there ever was.
TRACED = "coverage" in sys.modules and sys.modules["coverage"].Coverage.current() is not None


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def _streams_as_the_app_raises() -> None:
    if STREAMS_FAIL_IN_GROUPS:
        pytest.skip("this Starlette fails a stream within a group; the witness looks for none")


def assert_flawless(under: Load) -> None:
    trouble = "\n".join(under.witness.examples)
    assert under.counts.errors > under.counts.requests / 10, "too few errors to prove anything"
    assert under.counts.wrong == 0, f"{under.counts}\n{trouble}"
    assert under.witness.unclaimed == 0, "spans of no request"
    assert under.alive() == 0, "exceptions or requests are retained"
    assert under.own_failures() == 0


def is_flat(under: Load, each: int, measure: Callable[[], int], limit: int) -> bool:
    """Tell whether in one round at least what `measure` tells grows by less than `limit` an error.

    Args:
        under: the load to run.
        each: requests of each worker in a round.
        measure: blocks or bytes in use.
        limit: in the same unit.
    """
    for seed in range(1, ROUNDS + 1):
        before, errors = measure(), under.counts.errors
        under.run(each, seed)
        if measure() - before < limit * (under.counts.errors - errors):
            return True
    return False


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_every_error_is_on_the_span_of_its_own_request_once(plan: Plan) -> None:
    if plan.framework == "starlette":
        _streams_as_the_app_raises()
    each = 1 if plan.asynchronous else 15
    with load(plan) as under, hasty():
        under.run(each)
        if TRACED:
            under.run(each, seed=1)
        else:
            assert is_flat(under, each, blocks, BLOCKS_PER_ERROR)
        assert_flawless(under)


OURS_ONLY = [
    tracemalloc.Filter(True, str(Path(str(package.__file__)).parent / "*"))
    for package in (everylayer, everylayer_django, everylayer_flask, everylayer_starlette)
]


def bytes_of_ours() -> int:
    """Return the size of what our own code has allocated and not given back."""
    gc.collect()
    traces = tracemalloc.take_snapshot().filter_traces(OURS_ONLY)
    return sum(found.size for found in traces.statistics("filename"))


@pytest.mark.skipif(TRACED, reason="coverage keeps memory of its own")
@pytest.mark.skipif(
    sys.version_info < (3, 11), reason="before 3.11 frames are kept for reuse, in our caller's name"
)
@pytest.mark.parametrize("framework", ["flask", "starlette", "django-wsgi", "django-asgi"])
def test_nothing_of_ours_keeps_memory(framework: str) -> None:
    with load(Plan(framework, OURS, 4)) as under:
        tracemalloc.start()
        try:
            for _ in range(volume.SPANS + 1):
                # Some bytes are kept of each of the last failing spans, and of no more than these.
                volume.fitted([A_RECORD], Page().account, Settings())
            under.run(20)
            flat = is_flat(under, 20, bytes_of_ours, BYTES_PER_ERROR)
        finally:
            tracemalloc.stop()
        assert flat
        assert_flawless(under)


def test_the_soak_sees_what_grows() -> None:
    kept: list[object] = []
    with load(Plan("asgi", OURS, 20)) as under:
        kit_faults.watchers.append(lambda error: kept.append([str(error).upper(), {1: [kept]}]))
        try:
            assert not is_flat(under, 4, blocks, BLOCKS_PER_ERROR)
        finally:
            kit_faults.watchers.pop()
    assert kept


@pytest.mark.skipif(
    getattr(sys, "_is_gil_enabled", lambda: True)(), reason="no free-threaded Python runs this"
)
@pytest.mark.parametrize("framework", ["wsgi", "flask", "django-wsgi"])
def test_threads_that_run_at_the_same_time(framework: str) -> None:
    with load(Plan(framework, OURS, THREADS)) as under:
        under.run(100)
        assert_flawless(under)


def test_the_soak_sees_what_stock_loses() -> None:
    _streams_as_the_app_raises()
    with load(Plan("starlette", STOCK, 50)) as under:
        under.run(4)
        assert under.counts.lost
        assert not under.counts.crossed


def test_the_soak_sees_what_is_kept() -> None:
    kept: list[BaseException] = []
    with load(Plan("flask", OURS, 4)) as under:
        kit_faults.watchers.append(kept.append)
        try:
            under.run(20)
        finally:
            kit_faults.watchers.remove(kept.append)
        assert under.alive() >= len(kept) > 0


def test_the_soak_sees_an_error_on_the_wrong_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit_faults, "message", lambda kind, number: f"{kind} of another request")
    with load(Plan("asgi", OURS, 10)) as under:
        under.run(10)
        assert under.counts.crossed == under.counts.errors > 0
