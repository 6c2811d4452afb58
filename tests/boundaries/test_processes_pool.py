"""Process pools: what Python does with an error by itself, and what everylayer does."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import multiprocessing
import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.reduction import ForkingPickler
from typing import Any

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

import away_work
import everylayer
from contract.collect import collect
from contract.telemetry import Telemetry, error_events, late_spans, server_span, session
from everylayer import failsafe
from everylayer.boundaries import stubs
from everylayer.ledger import Ledger
from everylayer.settings import Settings

pytest.importorskip("tblib")

FORK = multiprocessing.get_context("fork")
Pool = everylayer.ProcessPoolExecutor


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    """One worker for nearly all: spawned, so that all it knows has crossed."""
    with Pool(1, multiprocessing.get_context("spawn")) as found:
        yield found


@pytest.fixture
def telemetry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Telemetry]:
    counts: dict[str, int] = {}
    monkeypatch.setattr(failsafe, "_counts", counts)
    with session() as found:
        yield found
    assert counts == {}


@contextlib.contextmanager
def request(telemetry: Telemetry, status: int = 200) -> Iterator[trace.Span]:
    """Serve one request as an outermost seam does."""
    tracer = telemetry.provider.get_tracer("web")
    ledger = Ledger(Settings())
    with tracer.start_as_current_span("GET /", kind=SpanKind.SERVER) as span:
        ledger.bind(span, inside=True)
        yield span
        span.set_attribute("http.response.status_code", status)
        ledger.responded(status)
    ledger.close()


def settled(*futures: concurrent.futures.Future[Any]) -> None:
    """Wait without asking."""
    concurrent.futures.wait(futures, timeout=30)


def only(spans: Any) -> tuple[ReadableSpan, dict[str, Any]]:
    (found,) = error_events(spans)
    return found.span, dict(found.event.attributes or {})


def test_a_plain_pool_loses_the_chain_and_breaks_on_an_init_of_its_own() -> None:
    with concurrent.futures.ProcessPoolExecutor(1, FORK) as plain:
        lost = plain.submit(away_work.lose_links).exception(30)
        assert lost is not None
        assert type(lost.__cause__).__name__ == "_RemoteTraceback"
        assert lost.__context__ is None
        assert not hasattr(lost.__cause__, "__notes__")
        with pytest.raises(BrokenProcessPool):
            plain.submit(away_work.chain).result(30)
        with pytest.raises(BrokenProcessPool):
            plain.submit(away_work.fail, 1).result(30)


def test_the_whole_chain_arrives_and_is_recorded_once(pool: Pool, telemetry: Telemetry) -> None:
    with request(telemetry, 500) as span:
        with pytest.raises(away_work.Needs) as caught:
            pool.submit(away_work.chain).result(30)
        again = caught.value
        everylayer.record(again)
        span.record_exception(again)
    assert (again.code, again.why) == (3, "a cause")
    assert isinstance(again.__cause__, ValueError)
    assert isinstance(again.__cause__.__context__, KeyError)
    assert pool.submit(away_work.fail, 1).result(30) == 1
    found, values = only(telemetry.spans)
    assert found.name == "GET /"
    assert found.status.status_code is StatusCode.ERROR
    assert values["exception.type"] == "away_work.Needs"
    assert values["everylayer.exception.chain"] == ("cause: ValueError",)
    assert values["everylayer.layer.name"] == "chain"
    assert values["everylayer.layer.phase"] == "process"
    assert values["code.function.name"] == "away_work.chain"
    for part in ("in chain", "context of the cause", 'raise Needs(3, why="a cause") from exc'):
        assert part in values["exception.stacktrace"]


def test_an_error_that_the_request_deals_with_is_handled(pool: Pool, telemetry: Telemetry) -> None:
    with request(telemetry):
        future = pool.submit(away_work.boom)
        with pytest.raises(KeyError):
            future.result(30)
        assert future.exception() is future.exception()
    span, values = only(telemetry.spans)
    assert span.name == "GET /"
    assert values["everylayer.handled"] is True
    assert span.status.is_unset


def test_an_error_that_nobody_asks_for_is_an_error_of_its_own(
    pool: Pool, telemetry: Telemetry
) -> None:
    with request(telemetry) as parent:
        future = pool.submit(away_work.boom)
        settled(future)
        time.sleep(0.05)
    span, values = only(telemetry.wait(late_spans))
    assert span.name == "boom (late)"
    assert span.status.status_code is StatusCode.ERROR
    assert span.parent is not None
    assert span.parent.span_id == parent.get_span_context().span_id
    assert values["everylayer.handled"] is False
    assert server_span(telemetry.spans).status.is_unset


def test_an_error_after_the_response_is_on_a_late_span_once(
    pool: Pool, telemetry: Telemetry
) -> None:
    with request(telemetry) as parent:
        future = pool.submit(away_work.slow, 0.2)
    settled(future)
    with pytest.raises(KeyError):
        future.result(30)
    del future
    collect()
    span, _ = only(telemetry.wait(late_spans))
    assert span.context is not None
    assert span.context.trace_id == parent.get_span_context().trace_id
    assert span.name == "slow (late)"


def test_map_in_chunks_gives_its_results_and_names_the_function(
    pool: Pool, telemetry: Telemetry
) -> None:
    with request(telemetry):
        assert list(pool.map(away_work.fail, range(5), chunksize=2)) == [0, 1, 2, 3, 4]
        with pytest.raises(away_work.Needs) as caught:
            list(pool.map(away_work.fail, [1, -1], chunksize=2))
    assert isinstance(caught.value.__cause__, ValueError)
    _, values = only(telemetry.spans)
    assert values["everylayer.layer.name"] == "fail"


def test_the_worker_sees_the_submitting_requests_span_and_nothing_else(
    pool: Pool, telemetry: Telemetry
) -> None:
    token = context.attach(baggage.set_baggage("card", "4111"))
    try:
        with request(telemetry) as span:
            ids = pool.submit(away_work.where).result(30)
            found = span.get_span_context()
            assert ids == (
                trace.format_trace_id(found.trace_id),
                trace.format_span_id(found.span_id),
            )
            assert pool.submit(away_work.what_else).result(30) == []
    finally:
        context.detach(token)
    assert pool.submit(away_work.where).result(30) == ("0" * 32, "0" * 16)


def test_a_forked_worker_forgets_the_request_that_began_it(telemetry: Telemetry) -> None:
    with Pool(1, FORK) as forked:
        with request(telemetry) as first:
            mine = forked.submit(away_work.where).result(30)
            assert mine[1] == trace.format_span_id(first.get_span_context().span_id)
        assert forked.submit(away_work.where).result(30) == ("0" * 32, "0" * 16)
        if sys.version_info >= (3, 11):
            with request(telemetry), pytest.raises(away_work.Needs) as caught:
                forked.submit(away_work.nested, -1).result(30)
            assert isinstance(caught.value.__cause__, ValueError)


def test_without_a_request_nothing_is_recorded(pool: Pool, telemetry: Telemetry) -> None:
    with pytest.raises(KeyError):
        pool.submit(away_work.boom).result(30)
    assert telemetry.spans == ()


def test_a_future_works_as_any_other(pool: Pool, telemetry: Telemetry) -> None:
    import asyncio

    async def ask() -> tuple[int, str]:
        loop = asyncio.get_running_loop()
        value = await loop.run_in_executor(pool, away_work.fail, 3)
        try:
            await asyncio.wrap_future(pool.submit(away_work.boom))
        except KeyError as exc:
            return value, str(exc)
        return value, ""

    with request(telemetry):
        assert asyncio.run(ask()) == (3, "'origin'")
    _, values = only(telemetry.spans)
    assert values["everylayer.handled"] is True
    busy = pool.submit(time.sleep, 0.2)
    futures = [pool.submit(away_work.fail, n) for n in range(8)]
    assert futures[-1].cancel()
    settled(busy, *futures)
    assert futures[-1].cancelled()


@pytest.mark.parametrize("how", ["exit", "kill"])
def test_a_worker_that_dies_is_recorded_as_a_broken_pool(how: str, telemetry: Telemetry) -> None:
    with Pool(1, FORK) as dying, request(telemetry, 500), pytest.raises(BrokenProcessPool):
        dying.submit(away_work.die, how).result(30)
    span, values = only(telemetry.spans)
    assert span.name == "GET /"
    assert values["exception.type"] == "concurrent.futures.process.BrokenProcessPool"
    assert values["everylayer.layer.name"] == "die"


def test_an_initializers_error_is_why_the_pool_is_broken(
    telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        Pool(2, FORK, initializer=away_work.refuse, initargs=("no licence",)) as broken,
        request(telemetry, 500),
        pytest.raises(BrokenProcessPool) as caught,
    ):
        broken.submit(away_work.fail, 1).result(30)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert str(caught.value.__cause__) == "no licence"
    _, values = only(telemetry.spans)
    assert values["everylayer.exception.chain"] == ("cause: RuntimeError",)


def test_sensitive_values_of_the_worker_stay_out(pool: Pool, telemetry: Telemetry) -> None:
    with request(telemetry), pytest.raises(ValueError, match="orange-harbour"):
        pool.submit(away_work.with_secret, "orange-harbour").result(30)
    _, values = only(telemetry.spans)
    assert "orange-harbour" not in repr(values)
    assert "[sensitive]" in values["exception.message"]


def test_tblib_is_asked_for_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tblib", None)
    stubs.tblib_or_explain.cache_clear()
    with pytest.raises(ModuleNotFoundError, match=r"everylayer\[processes\]"):
        Pool(1)
    with pytest.raises(ModuleNotFoundError, match=r"everylayer\[processes\]"):
        everylayer.carried(away_work.boom)


START: list[tuple[Callable[..., Any], tuple[Any, ...], str | None]] = [
    (away_work.chain, (), "away_work.Needs"),
    (away_work.stop, (3,), "SystemExit"),
    (away_work.stop, (0,), None),
    (away_work.die, ("kill",), "everylayer.boundaries.processes.ProcessDied"),
    (away_work.fail, (1,), None),
]


@pytest.mark.parametrize(("target", "args", "expected"), START)
def test_a_process_that_fails_is_on_a_late_span(
    target: Callable[..., Any],
    args: tuple[Any, ...],
    expected: str | None,
    telemetry: Telemetry,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    if multiprocessing.get_start_method(allow_none=True) not in (None, "fork"):
        pytest.skip("this process has been told how to start others")
    with request(telemetry):
        process = everylayer.Process(target=target, args=args)
        process.start()
        process.join(30)
        assert process.exitcode is not None
    found = [dict(e.event.attributes or {}) for e in error_events(telemetry.spans)]
    assert [values["exception.type"] for values in found] == ([expected] if expected else [])
    assert [span.name for span in late_spans(telemetry.spans)] == (
        [f"{target.__name__} (late)"] if expected else []
    )
    if expected and "Died" in expected:
        assert found[0]["exception.message"] == f"{process.name} was ended by SIGKILL"


def test_a_process_that_is_told_to_end_has_not_failed(telemetry: Telemetry) -> None:
    with request(telemetry):
        process = everylayer.Process(target=time.sleep, args=(60,))
        process.start()
        process.terminate()
        process.join(30)
    assert error_events(telemetry.spans) == []


def test_a_pool_of_multiprocessing_carries_what_is_asked_to(telemetry: Telemetry) -> None:
    with FORK.Pool(1) as pool, request(telemetry) as parent:
        asked = pool.apply_async(everylayer.carried(away_work.chain)).get(30)
        with pytest.raises(away_work.Needs) as caught:
            everylayer.uncarried(asked)
        assert isinstance(caught.value.__cause__, ValueError)
        work = everylayer.carried(away_work.fail)
        assert list(map(everylayer.uncarried, pool.map(work, [1, 2]))) == [1, 2]
        found = pool.imap(work, [1, -1, 2])
        assert everylayer.uncarried(next(found)) == 1
        forgotten = next(found)
        assert everylayer.uncarried(next(found)) == 2
        del forgotten, found
        collect()
    names = [found.span.name for found in error_events(telemetry.wait(late_spans))]
    assert sorted(names) == ["GET /", "fail (late)"]
    (late,) = late_spans(telemetry.spans)
    assert late.parent is not None
    assert late.parent.span_id == parent.get_span_context().span_id


@pytest.mark.parametrize(("work", "args"), [(len, (threading.Lock(),)), (threading.Lock, ())])
def test_what_cannot_be_pickled_on_its_way_is_recorded(
    work: Any, args: tuple[Any, ...], pool: Pool, telemetry: Telemetry
) -> None:
    with request(telemetry, 500):
        asked, forgotten = pool.submit(work, *args), pool.submit(work, *args)
        with pytest.raises(TypeError, match="pickle"):
            asked.result(30)
        settled(forgotten)
    found = [event.span.name for event in error_events(telemetry.wait(late_spans))]
    assert sorted(found) == sorted(["GET /", f"{work.__qualname__} (late)"])
    assert pool.submit(away_work.fail, 1).result(30) == 1


def test_a_pool_that_breaks_tells_each_of_those_who_wait_and_nobody_who_has_cancelled(
    telemetry: Telemetry,
) -> None:
    with Pool(1, FORK) as dying:
        futures = []
        for _ in range(6 if sys.version_info >= (3, 12) else 5):
            with request(telemetry):
                work, value = (away_work.die, "kill") if len(futures) == 1 else (time.sleep, 0.2)
                futures.append(dying.submit(work, value))
        if sys.version_info >= (3, 12):
            # Before that the pool's own thread ends by it.
            assert futures.pop().cancel()
        settled(*futures)
        assert futures[0].result() is None
        for future in futures[1:]:
            assert isinstance(future.exception(30), BrokenProcessPool)
    spans = telemetry.wait(lambda spans: len(error_events(spans)) >= 4)
    assert [each.span.name for each in error_events(spans)] == ["die (late)", *["sleep (late)"] * 3]


def test_what_was_sent_runs_in_the_context_of_whoever_calls_it(telemetry: Telemetry) -> None:
    with request(telemetry):
        sent = pickle.loads(ForkingPickler.dumps(everylayer.carried(away_work.greeting)))
    for word in ("hello", "goodbye"):
        token = away_work.GREETING.set(word)
        assert sent() == word
        away_work.GREETING.reset(token)


class Adding:
    """Has changed by the next call."""

    def __init__(self) -> None:
        self.start = 0

    def add(self, more: int) -> int:
        return self.start + more


@pytest.mark.parametrize("pickled", [pickle.dumps, ForkingPickler.dumps])
def test_what_is_carried_is_pickled_as_it_is_then(
    pickled: Callable[[Any], bytes], telemetry: Telemetry
) -> None:
    adding = Adding()
    for start in range(2):
        adding.start = start
        method, partly = (
            everylayer.carried(each) for each in (adding.add, functools.partial(adding.add, 5))
        )
        assert pickle.loads(pickled(method))(5) == start + 5
        assert pickle.loads(pickled(partly))() == start + 5
    spans = []
    for _ in range(2):
        with request(telemetry) as span:
            work = pickle.loads(pickled(everylayer.carried(away_work.where)))
        # It is not pickled into one that stands for another request.
        spans.append((work()[1], trace.format_span_id(span.get_span_context().span_id)))
        assert pickle.loads(pickled(work))() == work()
    assert [found for found, _ in spans] == [expected for _, expected in spans]
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickled(everylayer.carried(lambda: None))
