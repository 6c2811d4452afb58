"""Futures of plain pools under `detached="record"`: the standard library's, unless a call fails."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent import futures
from types import ModuleType
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from opentelemetry import baggage, context, trace
from opentelemetry.trace import SpanKind

import everylayer
from contract.collect import collect
from contract.locked import uncollected
from contract.telemetry import LATE_SUFFIX, Telemetry, error_events, late_spans
from everylayer import spans
from everylayer.boundaries import aftermath, detached

Future = futures.Future
Pool = futures.ThreadPoolExecutor
OTEL = "opentelemetry.instrumentation.threading"


class Lost(Exception):
    pass


def lose() -> None:
    raise Lost("x")


@pytest.fixture(autouse=True)
def _on() -> Iterator[None]:
    everylayer.configure(detached="record")
    yield
    detached.stop()


@pytest.fixture
def pool() -> Iterator[futures.ThreadPoolExecutor]:
    with Pool(1) as found:
        yield found


@pytest.fixture
def request_(tracer: trace.Tracer) -> Iterator[trace.Span]:
    span = tracer.start_span("GET /", kind=SpanKind.SERVER)
    with trace.use_span(span):
        yield span


def settled(future: Future[Any]) -> Future[Any]:
    futures.wait([future], 10)
    return future


def told(telemetry: Telemetry) -> list[str]:
    """End the request; return what was recorded, each by the name of its late span."""
    collect()
    trace.get_current_span().end()
    found = [span.name.removesuffix(LATE_SUFFIX) for span in late_spans(telemetry.spans)]
    assert len(error_events(telemetry.spans)) == len(found)
    return [name.rpartition(".")[2] for name in found]


def is_plain(future: Any) -> bool:
    return type(future) is Future and not [name for name in vars(future) if "everylayer" in name]


# What is not changed.


@pytest.mark.usefixtures("request_")
def test_a_future_that_works_is_the_standard_librarys_all_the_time(pool: Any) -> None:
    go = threading.Event()
    future = pool.submit(go.wait, 10)
    assert is_plain(future)
    assert not future.done()
    go.set()
    assert future.result(10) is True
    assert future.exception() is None
    assert is_plain(future)


@pytest.mark.usefixtures("request_")
def test_the_pool_keeps_the_call_as_it_was(pool: Any) -> None:
    go = threading.Event()
    pool.submit(go.wait, 10)
    future = pool.submit(sum, (1, 2), start=3)
    item = pool._work_queue.get()
    call = item.task if sys.version_info >= (3, 14) else (item.fn, item.args, item.kwargs)
    assert call == (sum, ((1, 2),), {"start": 3})
    assert item.future.done() is False
    assert type(item) is futures.thread._WorkItem
    pool._work_queue.put(item)
    go.set()
    assert future.result(10) == 6


@pytest.mark.usefixtures("request_")
def test_what_waits_in_a_pool_that_is_shut_down_is_cancelled(telemetry: Telemetry) -> None:
    pool, go = Pool(1), threading.Event()
    pool.submit(go.wait, 10)
    future = pool.submit(lose)
    pool.shutdown(wait=False, cancel_futures=True)
    go.set()
    assert future.cancelled()
    pool.shutdown()
    assert told(telemetry) == []


@pytest.mark.parametrize("ask", ["result", "exception"])
@pytest.mark.usefixtures("request_")
def test_no_frame_of_ours_is_in_a_traceback(ask: str, pool: Any) -> None:
    go = threading.Event()
    slow = pool.submit(go.wait, 10)
    with pytest.raises(futures.TimeoutError) as late:
        getattr(slow, ask)(0)
    go.set()
    future = settled(pool.submit(lose))
    error = future.exception()
    with pytest.raises(Lost) as caught:
        future.result()
    assert caught.value is error
    modules = [entry.frame.f_globals["__name__"] for entry in (*late.traceback, *caught.traceback)]
    assert "concurrent.futures.thread" in modules
    assert [name for name in modules if name.startswith("everylayer")] == []


class Errors(Exception):
    def __len__(self) -> int:
        return 0


@pytest.mark.usefixtures("request_")
def test_an_error_that_is_false_is_lost_by_python_and_told_by_us(
    pool: Any, telemetry: Telemetry
) -> None:
    def lose_all() -> None:
        raise Errors

    assert pool.submit(lose_all).result(10) is None
    assert told(telemetry) == []
    settled(pool.submit(lose_all))
    assert told(telemetry) == ["lose_all"]


# Who asks, and who does not.


def waits(ask: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Ask before there is an answer."""

    def waiting(future: Any) -> None:
        thread = threading.Thread(target=lambda: ask(future))
        thread.start()
        while not future._condition._waiters:
            pass
        GO.set()
        thread.join(10)

    return waiting


def before(act: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def acting(future: Any) -> None:
        act(future)
        GO.set()

    return acting


def after(act: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def acting(future: Any) -> None:
        GO.set()
        act(settled(future))

    return acting


GO = threading.Event()


def lose_then() -> None:
    GO.wait(10)
    raise Lost("x")


ASKING: dict[str, Callable[[Any], Any]] = {
    "who waits for the result": waits(lambda future: asking(future)),
    "who waits for the exception": waits(lambda future: future.exception()),
    "a callback": before(lambda future: future.add_done_callback(Future.exception)),
    "who reads it": after(lambda future: future._exception),
}
NOT_ASKING: dict[str, Callable[[Any], Any]] = {
    "wait": after(lambda future: futures.wait([future])),
    "as_completed": after(lambda future: list(futures.as_completed([future]))),
    "a callback": before(lambda future: future.add_done_callback(Future.done)),
    "who shows it": after(lambda future: repr(future).index("raised Lost")),
    "who looks whether it runs": before(lambda future: future.running()),
}


@pytest.mark.parametrize("how", ASKING)
@pytest.mark.usefixtures("request_")
def test_who_asks_deals_with_it(how: str, pool: Any, telemetry: Telemetry) -> None:
    GO.clear()
    future = pool.submit(lose_then)
    ASKING[how](future)
    settled(future)
    pool.submit(int).result(10)  # its callbacks have been called
    assert is_plain(future)
    del future
    assert told(telemetry) == []


@pytest.mark.parametrize("how", NOT_ASKING)
@pytest.mark.usefixtures("request_")
def test_who_does_not_ask_leaves_it_to_us(how: str, pool: Any, telemetry: Telemetry) -> None:
    GO.clear()
    future = pool.submit(lose_then)
    NOT_ASKING[how](future)
    settled(future)
    pool.submit(int).result(10)
    assert isinstance(future, Future)
    assert type(future).__qualname__ == "Future"
    assert type(future).__module__ == Future.__module__
    del future
    assert told(telemetry) == ["lose_then"]


@pytest.mark.usefixtures("request_")
def test_a_map_asks_as_far_as_it_is_read(pool: Any, telemetry: Telemetry) -> None:
    found = pool.map(lambda _: lose(), range(2))
    with pytest.raises(Lost):
        next(found)
    pool.shutdown()
    del found
    # Python asks for one, and drops what it could not cancel.
    assert told(telemetry) in ([], ["<lambda>"])


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
@pytest.mark.usefixtures("request_")
def test_no_error_ends_the_pool(error: type[BaseException], pool: Any) -> None:
    def leave() -> None:
        raise error

    assert type(pool.submit(leave).exception(10)) is error
    assert pool.submit(int).result(10) == 0


@pytest.mark.usefixtures("request_")
def test_what_a_broken_pool_leaves_undone_is_told_unless_it_is_asked(telemetry: Telemetry) -> None:
    go = threading.Event()

    def initialize() -> None:
        go.wait(10)
        lose()

    with Pool(1, initializer=initialize) as pool:
        asked, *waiting = (pool.submit(int) for _ in range(3))
        go.set()
        assert type(asked.exception(10)).__name__ == "BrokenThreadPool"
        futures.wait(waiting, 10)
        waiting.clear()
    assert told(telemetry) == ["unknown"] * 2
    types = [
        dict(event.attributes or {})["exception.type"] for _, event in error_events(telemetry.spans)
    ]
    assert types == ["concurrent.futures.thread.BrokenThreadPool"] * 2


# Who asks for it elsewhere.


@pytest.mark.parametrize("awaited", [True, False])
def test_what_asyncio_takes_is_the_requests(
    awaited: bool, pool: Any, telemetry: Telemetry, tracer: trace.Tracer
) -> None:
    async def main() -> None:
        with tracer.start_as_current_span("GET /", kind=SpanKind.SERVER):
            taken = asyncio.wrap_future(pool.submit(lose))
            await asyncio.wait([taken])
            if awaited:
                with pytest.raises(Lost):
                    await taken
        taken.exception()

    asyncio.run(main())
    collect()
    assert [span.name for span, _ in error_events(telemetry.spans)] == ["GET /"]


@pytest.mark.usefixtures("request_")
def test_asyncio_of_later_pythons_asks_in_its_own_way(
    pool: Any, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def _get_snapshot(self: Any) -> tuple[Any, ...]:
        return True, False, self._result, self._exception

    monkeypatch.setattr(Future, "_get_snapshot", _get_snapshot, raising=False)
    future = settled(pool.submit(lose))
    assert type(future._get_snapshot()[3]) is Lost  # type: ignore[attr-defined]
    assert is_plain(future)
    del future
    trace.get_current_span().end()
    collect()
    assert [span.name for span, _ in error_events(telemetry.spans)] == ["GET /"]


def instrument() -> None:
    """Wrap what is submitted, as opentelemetry-instrumentation-threading does."""
    module = ModuleType(OTEL)
    exec(INSTRUMENTATION, vars(module))
    Pool.submit = module.wrapper(Pool.submit)  # type: ignore[method-assign]


INSTRUMENTATION = """
def wrapper(submit):
    def submitting(self, fn, *args, **kwargs):
        def wrapped(*given, **named):
            return fn(*given, **named)

        return submit(self, wrapped, *args, **kwargs)

    return submitting
"""


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.usefixtures("request_")
def test_beside_other_instrumentation_of_pools_it_is_told_once(
    first: bool, pool: Any, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pool, "submit", Pool.submit)
    if first:
        detached.stop()
        instrument()
        everylayer.configure(detached="record")
    else:
        instrument()
    settled(pool.submit(lose))
    assert type(pool.submit(lose).exception(10)) is Lost
    assert told(telemetry) == ["lose"]


@pytest.mark.parametrize("instrumented", [True, False])
def test_what_asgiref_awaits_is_left_to_who_awaits(
    instrumented: bool,
    telemetry: Telemetry,
    tracer: trace.Tracer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Pool, "submit", Pool.submit)
    if instrumented:
        instrument()

    async def main() -> None:
        with (
            tracer.start_as_current_span("GET /", kind=SpanKind.SERVER),
            contextlib.suppress(Lost),
        ):
            await sync_to_async(lose, thread_sensitive=False)()

    asyncio.run(main())
    assert told(telemetry) == []


# Futures and pools of others.


class Own(Future[Any]):
    """A future whose class is somebody's own."""


class OwnPool(Pool):
    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        go = threading.Event()
        future = super().submit(lambda: (go.wait(10), fn(*args, **kwargs)))
        future.__class__ = Own
        go.set()
        return future


@pytest.mark.usefixtures("request_")
def test_a_future_of_somebody_elses_class_is_left_alone(telemetry: Telemetry) -> None:
    with OwnPool(1) as pool:
        future = settled(pool.submit(lose))
        assert type(future) is Own
        assert [name for name in vars(future) if "everylayer" in name] == []
        del future
    assert told(telemetry) == []


@pytest.mark.usefixtures("request_")
def test_a_pool_with_a_submit_of_its_own_is_watched(telemetry: Telemetry) -> None:
    class Counting(Pool):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            return super().submit(fn, *args, **kwargs)

    with Counting(1) as pool:
        settled(pool.submit(lose))
    assert told(telemetry) == ["lose"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.usefixtures("request_")
def test_a_forked_child_leaves_it_to_its_parent(pool: Any, telemetry: Telemetry) -> None:
    kept = [settled(pool.submit(lose))]
    pool.shutdown()
    child = os.fork()
    if not child:
        kept.clear()
        gc.collect()
        os._exit(1 if aftermath._waiting or late_spans(telemetry.spans) else 0)
    assert os.waitpid(child, 0)[1] == 0
    kept.clear()
    assert told(telemetry) == ["lose"]


# What is kept, and for how long.


@pytest.mark.usefixtures("request_")
def test_nothing_is_kept_of_what_was_asked(pool: Any) -> None:
    with uncollected():
        future = settled(pool.submit(lose))
        error: Any = future.exception()
        gone = weakref.ref(error), weakref.ref(future)
        pool.submit(int).result(10)  # the worker has let go of it
        del error, future
        assert [each() for each in gone] == [None, None]


@pytest.mark.usefixtures("request_")
def test_who_is_forgotten_is_told_without_the_collector(pool: Any, telemetry: Telemetry) -> None:
    with uncollected():
        future = settled(pool.submit(lose))
        gone = weakref.ref(future)
        pool.submit(int).result(10)
        del future
        assert gone() is None
        assert aftermath.settle()
        trace.get_current_span().end()
        assert len(late_spans(telemetry.spans)) == 1


def test_outside_of_a_request_nothing_is_told(pool: Any, telemetry: Telemetry) -> None:
    token = context.attach(baggage.set_baggage("app.plan", "gold"))
    settled(pool.submit(lose))
    context.detach(token)
    assert told(telemetry) == []


@pytest.mark.usefixtures("request_")
def test_what_was_begun_is_told_although_it_is_switched_off(
    pool: Any, telemetry: Telemetry
) -> None:
    GO.clear()
    begun = pool.submit(lose_then)
    everylayer.configure(detached="off")
    GO.set()
    settled(begun)
    del begun
    settled(pool.submit(lose))
    assert told(telemetry) == ["lose_then"]


def test_each_error_is_asked_for_or_told_once_whoever_comes_first(
    telemetry: Telemetry, tracer: trace.Tracer
) -> None:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with Pool(3) as pool, Pool(2) as askers:
            for number in range(300):
                with tracer.start_as_current_span("GET /", kind=SpanKind.SERVER):
                    future = pool.submit(lose)
                if number % 3:
                    asked = [askers.submit(ask, future) for ask in (Future.exception, asking)]
                    assert [type(each.result(10)) for each in asked] == [Lost, Lost]
                    assert is_plain(future)
                del future
    finally:
        sys.setswitchinterval(usual)
    assert told(telemetry) == ["lose"] * 100


def asking(future: Any) -> BaseException | None:
    try:
        future.result(10)
    except Lost as exc:
        return exc
    return None


# What is not as it was.


class AnotherItem:
    """Holds a call in one piece."""

    def __init__(self, *, whole: Any) -> None:
        self.whole = whole


@pytest.mark.parametrize("item", [AnotherItem, None])
def test_a_pool_that_is_laid_out_in_another_way_is_left_alone(
    item: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    detached.stop()
    started = threading.Thread.start
    monkeypatch.setattr(futures.thread, "_WorkItem", item)
    everylayer.configure(detached="record")
    assert threading.Thread.start is not started
    assert "does not know concurrent.futures.thread._WorkItem" in caplog.text
    assert item is None or "__wrapped__" not in vars(item.__init__)


@pytest.mark.usefixtures("request_")
def test_a_span_that_cannot_be_had_costs_the_record_alone(
    pool: Any,
    telemetry: Telemetry,
    monkeypatch: pytest.MonkeyPatch,
    failures: dict[str, int],
) -> None:
    monkeypatch.setattr(spans, "current", lose)
    assert pool.submit(int).result(10) == 0
    assert type(settled(pool.submit(lose)).exception()) is Lost
    assert failures == {
        "everylayer.boundaries.forgotten_futures._watched": 2,
        # Of the pool.
        "everylayer.boundaries.forgotten_threads._keep_span": 1,
    }
    assert told(telemetry) == []
