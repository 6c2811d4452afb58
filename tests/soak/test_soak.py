"""The soak in small: a fixed number of requests; `python -m nox -s soak` runs it for long."""

from __future__ import annotations

import logging
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

import everylayer
import everylayer_django
import everylayer_flask
import everylayer_starlette
import kit_faults
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
# A sighting, its traceback, frames and strings are more than this for each error.
BLOCKS_PER_ERROR = 10


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def assert_flawless(under: Load) -> None:
    trouble = "\n".join(under.witness.examples)
    assert under.counts.errors > under.counts.requests / 10, "too few errors to prove anything"
    assert under.counts.wrong == 0, f"{under.counts}\n{trouble}"
    assert under.witness.unclaimed == 0, "spans of no request"
    assert under.alive() == 0, "exceptions or requests are retained"
    assert under.own_failures() == 0


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_every_error_is_on_the_span_of_its_own_request_once(plan: Plan) -> None:
    each = 1 if plan.asynchronous else 15
    with load(plan) as under, hasty():
        under.run(each)
        warm, errors = blocks(), under.counts.errors
        under.run(each, seed=1)
        grown = blocks() - warm
        assert_flawless(under)
        assert grown < 500 + BLOCKS_PER_ERROR * (under.counts.errors - errors)


@pytest.mark.skipif(
    sys.version_info < (3, 11), reason="before 3.11 frames are kept for reuse, in our caller's name"
)
@pytest.mark.parametrize("framework", ["flask", "starlette", "django-wsgi", "django-asgi"])
def test_nothing_of_ours_keeps_memory(framework: str) -> None:
    packages = (everylayer, everylayer_django, everylayer_flask, everylayer_starlette)
    ours = [
        tracemalloc.Filter(True, str(Path(str(package.__file__)).parent / "*"), all_frames=False)
        for package in packages
    ]
    with load(Plan(framework, OURS, 4)) as under:
        tracemalloc.start()
        try:
            under.run(40, seed=1)
            under.alive()
            before = tracemalloc.take_snapshot().filter_traces(ours)
            errors = under.counts.errors
            under.run(40, seed=2)
            under.alive()
            after = tracemalloc.take_snapshot().filter_traces(ours)
        finally:
            tracemalloc.stop()
        grown = sum(found.size_diff for found in after.compare_to(before, "filename"))
        assert_flawless(under)
        # Bytes: an error's record alone is some thousands.
        assert grown < 100 * (under.counts.errors - errors), after.compare_to(before, "lineno")[:5]


@pytest.mark.skipif(
    getattr(sys, "_is_gil_enabled", lambda: True)(), reason="no free-threaded Python runs this"
)
@pytest.mark.parametrize("framework", ["wsgi", "flask", "django-wsgi"])
def test_threads_that_run_at_the_same_time(framework: str) -> None:
    with load(Plan(framework, OURS, THREADS)) as under:
        under.run(100)
        assert_flawless(under)


def test_the_soak_sees_what_stock_loses() -> None:
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
