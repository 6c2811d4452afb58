"""Process pools on a Python that is laid out in another way, and in hands that change them."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import multiprocessing
import multiprocessing.util
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import process
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind

import away_work
import everylayer
from contract.telemetry import Telemetry, error_events, late_spans
from everylayer.boundaries import listening, process_pool, processes, word
from everylayer.ledger import Ledger
from everylayer.settings import Settings

pytest.importorskip("tblib")

FORK = multiprocessing.get_context("fork")
Pool = everylayer.ProcessPoolExecutor


@contextlib.contextmanager
def request(telemetry: Telemetry) -> Iterator[trace.Span]:
    """Serve one request that answers 500, as an outermost seam does."""
    ledger = Ledger(Settings())
    tracer = telemetry.provider.get_tracer("web")
    with tracer.start_as_current_span("GET /", kind=SpanKind.SERVER) as span:
        ledger.bind(span, inside=True)
        yield span
        span.set_attribute("http.response.status_code", 500)
        ledger.responded(500)
    ledger.close()


def works(pool: Any, telemetry: Telemetry) -> None:
    """Have a pool return a result and a chain; the span is the request's, the event one."""
    with request(telemetry) as span:
        assert pool.submit(away_work.fail, 4).result(30) == 4
        ids = pool.submit(away_work.where).result(30)
        assert ids[1] == trace.format_span_id(span.get_span_context().span_id)
        with pytest.raises(away_work.Needs) as caught:
            pool.submit(away_work.chain).result(30)
        assert isinstance(caught.value.__cause__, ValueError)
    (found,) = error_events(telemetry.spans)
    assert found.span.name == "GET /"
    assert dict(found.event.attributes or {})["everylayer.layer.name"] == "chain"


# What is CPython's own.


class AnotherQueue(process._SafeQueue):  # type: ignore[misc]
    """Of a user, or of a Python to come."""


class AnotherItem:
    """Holds a call in one piece."""

    def __init__(self, *given: Any) -> None:
        self.given = given


def _worker(original: Any, *given: Any) -> Any:
    return original(*given)


def layouts() -> dict[str, Callable[[pytest.MonkeyPatch], None]]:
    """Return what another Python, or somebody who patches this one, may have changed."""
    worker = functools.partial(_worker, process._process_worker)

    def reads_otherwise(*given: Any) -> Any:
        return worker(*given)

    return {
        "another queue": lambda patch: patch.setattr(process, "_SafeQueue", AnotherQueue),
        "no such queue": lambda patch: patch.setattr(process_pool, "_SafeQueue", object),
        "workers that read otherwise": lambda patch: patch.setattr(
            process, "_process_worker", reads_otherwise
        ),
        "workers without code": lambda patch: patch.setattr(process, "_process_worker", worker),
    }


@pytest.mark.parametrize("how", sorted(layouts()))
def test_another_layout_sends_the_function_with_each_call(
    how: str, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    layouts()[how](monkeypatch)
    with Pool(1, FORK) as pool:
        assert pool._carries is False
        works(pool, telemetry)


@pytest.mark.parametrize("item", [AnotherItem, None])
def test_calls_of_another_layout_are_known(item: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with Pool(1, FORK) as pool:
        assert pool._carries is True
    monkeypatch.setattr(process, "_CallItem", item)
    with Pool(1, FORK) as pool:
        assert pool._carries is False


def test_a_pool_without_a_queue_of_that_name(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = concurrent.futures.ProcessPoolExecutor.__init__

    def renamed(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        hidden.update(_call_queue=vars(self).pop("_call_queue"))

    hidden: dict[str, Any] = {}
    with monkeypatch.context() as patch:
        patch.setattr(concurrent.futures.ProcessPoolExecutor, "__init__", renamed)
        pool = Pool(1, FORK)
    vars(pool).update(hidden)
    with pool:
        assert pool._carries is False
        works(pool, telemetry)


class Plain(concurrent.futures.Future[Any]):
    """A future whose class is somebody's own."""


def test_a_future_of_somebody_elses_class_keeps_it(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = concurrent.futures.ProcessPoolExecutor.submit
    made: list[Any] = []

    def submit(self: Any, *args: Any, **kwargs: Any) -> Any:
        future = original(self, *args, **kwargs)
        future.__class__ = Plain
        made.append(future)
        return future

    monkeypatch.setattr(concurrent.futures.ProcessPoolExecutor, "submit", submit)
    with Pool(1, FORK) as pool:
        works(pool, telemetry)
        busy = pool.submit(time.sleep, 0.2)
        line = [pool.submit(away_work.fail, n) for n in range(8)]
        assert line[-1].cancel()
        assert busy.result(30) is None
        assert line[0].result(30) == 0
        with pytest.raises(concurrent.futures.CancelledError):
            line[-1].result(30)
        assert line[-1].cancelled()
        assert not line[0].running()
    assert {isinstance(future, Plain) for future in made} == {True}
    assert {type(future).__qualname__ for future in made} == {"Plain"}


@pytest.mark.parametrize("somebody_elses", [False, True])
def test_who_asks_finds_the_error_told_whatever_thread_had_it_first(
    somebody_elses: bool, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = concurrent.futures.ProcessPoolExecutor.submit

    def submit(self: Any, *args: Any, **kwargs: Any) -> Any:
        future = original(self, *args, **kwargs)
        future.__class__ = Plain
        return future

    if somebody_elses:
        monkeypatch.setattr(concurrent.futures.ProcessPoolExecutor, "submit", submit)
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with Pool(1, FORK) as pool:
            for _ in range(100):
                with request(telemetry), pytest.raises(away_work.Needs):
                    pool.submit(away_work.chain).result(30)
    finally:
        sys.setswitchinterval(usual)
    assert [event.span.name for event in error_events(telemetry.spans)] == ["GET /"] * 100


class Slotted(listening.Listening):
    __slots__ = ("more",)


class Elsewhere(concurrent.futures.Future[Any]):
    """Keeps its error where no other does."""

    def __init__(self) -> None:
        super().__init__()
        self.error = self.__dict__.pop("_exception")


@pytest.mark.parametrize(
    ("where", "name", "changed"),
    [
        (listening, "Listening", Slotted),
        (listening, "Future", Elsewhere),
    ],
)
def test_futures_of_another_layout_are_followed(
    where: Any, name: str, changed: Any, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    listening.listening.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(where, name, changed)
        pool = Pool(1, FORK)
    listening.listening.cache_clear()
    with pool:
        assert pool._carries is False
        works(pool, telemetry)


class Errors(Exception):
    def __len__(self) -> int:
        return 0


def no_error() -> None:
    raise Errors("none of them")


def test_an_error_that_is_false_is_raised(telemetry: Telemetry) -> None:
    with Pool(1, FORK) as pool, request(telemetry):
        futures = [pool.submit(no_error) for _ in range(2)]
        for future in futures:
            with pytest.raises(Errors, match="none of them"):
                future.result(30)
    assert len(error_events(telemetry.spans)) == 2


def test_to_show_a_future_is_not_to_ask_it(telemetry: Telemetry) -> None:
    with Pool(1, FORK) as pool, request(telemetry):
        future = pool.submit(away_work.boom)
        concurrent.futures.wait([future], 30)
        assert "raised KeyError" in repr(future)
        assert repr(future).startswith("<Future at")
    found = [event.span.name for event in error_events(telemetry.wait(late_spans))]
    assert found == ["boom (late)"]


def test_a_process_whose_exit_code_is_kept_elsewhere(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_code_of", lambda process: None)
    with request(telemetry):
        started = everylayer.Process(target=away_work.die, args=("kill",))
        started.start()
        started.join(30)
    (found,) = error_events(telemetry.spans)
    assert "ProcessDied" in str(dict(found.event.attributes or {})["exception.type"])


def test_a_process_is_watched_by_who_joins_it_where_no_thread_can_begin(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any) -> Any:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(processes._thread, "start_new_thread", refuse)
    with request(telemetry):
        started = everylayer.Process(target=away_work.chain)
        started.start()
        started.join(30)
        started.join(30)
    (found,) = error_events(telemetry.spans)
    assert dict(found.event.attributes or {})["exception.type"] == "away_work.Needs"


def test_a_process_is_watched_where_nothing_forks(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(word, "_BARE", False)
    monkeypatch.setattr(word, "line", word._piped)
    monkeypatch.setattr(word, "close", word._close)
    with request(telemetry):
        for target, args in ((away_work.stop, (3,)), (away_work.fail, (1,))):
            started = everylayer.Process(target=target, args=args)
            started.start()
            started.join(30)
    (found,) = error_events(telemetry.spans)
    assert dict(found.event.attributes or {})["exception.type"] == "SystemExit"


def test_a_process_whose_own_child_holds_its_pipe(telemetry: Telemetry) -> None:
    with request(telemetry):
        started = everylayer.Process(target=away_work.die_with_a_child, args=(3,))
        started.start()
        started.join()
    (found,) = error_events(telemetry.spans)
    message = dict(found.event.attributes or {})["exception.message"]
    assert message == f"{started.name} was ended by SIGKILL"


def test_a_daemon_that_ends_with_its_parent_is_no_error(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with request(telemetry):
        started = everylayer.Process(target=time.sleep, args=(60,), daemon=True)
        started.start()
        monkeypatch.setattr(multiprocessing.util, "_exiting", True)
        # As multiprocessing does at the end.
        started._popen.terminate()  # type: ignore[attr-defined]
        started.join(30)
    assert started.exitcode == -signal.SIGTERM
    assert error_events(telemetry.spans) == []


@pytest.mark.parametrize("base", [True, False])
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_process_with_a_run_of_its_own(
    method: str, base: bool, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    context: Any = multiprocessing.get_context(method)
    monkeypatch.setattr(away_work.Worker, "_Popen", staticmethod(context.Process._Popen))
    # More than a pipe holds.
    message = "no " + 40_000 * "more "
    with request(telemetry):
        started = away_work.Worker(message, base)
        started.start()
        started.join(30)
    (found,) = error_events(telemetry.spans)
    values = dict(found.event.attributes or {})
    assert values["exception.type"] == ("RuntimeError" if base else "KeyError")
    assert found.span.name == "refuse (late)"


# What a user does with pools.


def test_what_is_cancelled_as_the_pool_ends_is_no_error(telemetry: Telemetry) -> None:
    pool = Pool(1, FORK)
    with request(telemetry):
        first = pool.submit(time.sleep, 0.3)
        line = [pool.submit(away_work.boom) for _ in range(8)]
        pool.shutdown(wait=True, cancel_futures=True)
        assert first.result(30) is None
        cancelled = [future for future in line if future.cancelled()]
        assert len(cancelled) >= 6
        with pytest.raises(concurrent.futures.CancelledError):
            cancelled[0].result(1)
    # One or two had left for the worker by then.
    assert len(error_events(telemetry.spans)) == len(line) - len(cancelled)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="max_tasks_per_child is of 3.11")
def test_spawned_workers_of_one_call_each_with_an_initializer(telemetry: Telemetry) -> None:
    # Python chooses the way to start here, which the telling of the initializer has to share.
    with Pool(1, initializer=away_work.fail, initargs=(1,), max_tasks_per_child=1) as pool:
        works(pool, telemetry)


def test_a_thread_pool_within_a_process_of_a_pool(telemetry: Telemetry) -> None:
    with Pool(1, FORK) as pool, request(telemetry), pytest.raises(away_work.Needs) as caught:
        pool.submit(away_work.threaded, -1).result(30)
    assert isinstance(caught.value.__cause__, ValueError)
    (found,) = error_events(telemetry.spans)
    assert found.span.name == "GET /"


def test_many_processes_at_once_are_each_recorded_once(telemetry: Telemetry) -> None:
    before = threading.active_count()
    with request(telemetry):
        started = [everylayer.Process(target=away_work.fail, args=(n % 2 - 1,)) for n in range(4)]
        for each in started:
            each.start()
        for each in started:
            each.join(30)
    assert len(error_events(telemetry.spans)) == 2
    assert threading.active_count() == before


# What `propagate` makes of a function.


def test_propagate_dresses_a_function_as_functools_does() -> None:
    def plain(number: int, *, name: str = "x") -> str:
        """Say something."""
        return name * number

    plain.marked = True  # type: ignore[attr-defined]
    ours = everylayer.propagate(plain)
    theirs = functools.wraps(plain)(lambda *args, **kwargs: plain(*args, **kwargs))
    names = (*functools.WRAPPER_ASSIGNMENTS, "__annotations__", "__dict__", "__wrapped__")
    absent = object()
    for name in names:
        assert getattr(ours, name, absent) == getattr(theirs, name, absent), name
    assert ours(2, name="y") == "yy"
