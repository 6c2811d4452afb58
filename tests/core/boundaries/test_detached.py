"""`detached="record"`: chained to what was there, put back as it was, and never twice."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

import everylayer
from contract.collect import collect
from contract.telemetry import Telemetry, error_events, late_spans
from everylayer import spans
from everylayer.boundaries import detached
from everylayer.boundaries.patch import Patch


class Lost(Exception):
    pass


def lose() -> None:
    raise Lost("x")


async def lose_soon() -> None:
    raise Lost("x")


def run_thread(target: Callable[[], Any]) -> None:
    thread = threading.Thread(target=target)
    thread.start()
    thread.join()


HOOKED: list[tuple[Any, str]] = [
    (threading.Thread, "start"),
    (threading, "excepthook"),
    (futures.thread._WorkItem, "__init__"),
    (asyncio.BaseEventLoop, "call_exception_handler"),
    (asyncio.BaseEventLoop, "create_task"),
]


def now() -> list[Any]:
    return [vars(owner)[name] for owner, name in HOOKED]


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    found: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: found.append(args.exc_type))
    return found


@pytest.fixture
def in_request(tracer: trace.Tracer) -> Callable[[], Any]:
    return lambda: tracer.start_as_current_span("GET /", kind=SpanKind.SERVER)


def test_no_trace_is_left_behind() -> None:
    before = now()
    for _ in range(2):
        everylayer.configure(detached="record")
        once = now()
        everylayer.configure(detached="record")
        assert now() == once
        changed = [one is not other for one, other in zip(before, once, strict=True)]
        assert changed == [True, True, True, True, sys.version_info < (3, 12)]
        everylayer.configure(detached="off")
        assert now() == before


def test_uninstrument_puts_all_back() -> None:
    from everylayer_flask.instrumentor import EveryLayerFlaskInstrumentor

    before = now()
    instrumentor = EveryLayerFlaskInstrumentor()
    instrumentor.instrument(detached="record")
    try:
        assert now() != before
    finally:
        instrumentor.uninstrument()
    assert now() == before


def test_a_hook_that_came_later_stays_and_ours_rests(
    telemetry: Telemetry, heard: list[Any], in_request: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    everylayer.configure(detached="record")
    ours = threading.excepthook
    later: list[Any] = []

    def other(args: Any) -> None:
        later.append(args.exc_type)
        ours(args)

    monkeypatch.setattr(threading, "excepthook", other)
    for recorded in (1, 1, 2):
        if recorded == 2:
            everylayer.configure(detached="record")
        with in_request():
            run_thread(lose)
        everylayer.configure(detached="off")
        assert len(error_events(telemetry.spans)) == recorded
    assert threading.excepthook is other
    assert len(heard) == len(later) == 3


def test_a_helper_and_a_hook_record_once(
    telemetry: Telemetry, heard: list[Any], in_request: Any
) -> None:
    everylayer.configure(detached="record")
    with in_request():
        run_thread(everylayer.propagate(lose))
    with everylayer.ThreadPoolExecutor(1) as pool, in_request():
        futures.wait([pool.submit(lose)])
        collect()
    assert heard == [Lost]
    # Nobody will ask: each is an error of its own, though its request worked.
    assert len(late_spans(telemetry.spans)) == len(error_events(telemetry.spans)) == 2
    servers = [span for span in telemetry.spans if span.kind is SpanKind.SERVER]
    assert [span.status.status_code for span in servers] == [StatusCode.UNSET] * 2


def test_a_thread_of_a_thread_knows_its_request(
    telemetry: Telemetry, heard: list[Any], in_request: Any
) -> None:
    everylayer.configure(detached="record")
    with in_request():
        run_thread(lambda: run_thread(lose))
    assert [span.name for span in late_spans(telemetry.spans)] == ["lose (late)"]


class Frozen(threading.Thread):
    """Takes no attributes once it is made."""

    def __setattr__(self, name: str, value: Any) -> None:
        if getattr(self, "_target", None) is not None and "everylayer" in name:
            raise AttributeError(name)
        super().__setattr__(name, value)


def test_a_thread_that_minds_its_attributes_is_recorded(
    telemetry: Telemetry, heard: list[Any], in_request: Any
) -> None:
    everylayer.configure(detached="record")
    with in_request():
        thread = Frozen(target=lose)
        thread.start()
        thread.join()
    assert [span.name for span in late_spans(telemetry.spans)] == ["lose (late)"]


def test_a_pools_thread_is_no_requests(
    telemetry: Telemetry, heard: list[Any], in_request: Any
) -> None:
    everylayer.configure(detached="record")
    with futures.ThreadPoolExecutor(1) as pool:
        with in_request():
            pool.submit(int).result()
        (thread,) = pool._threads
        assert [name for name in vars(thread) if "everylayer" in name] == []
        # Begun for nobody, though by a thread that was begun within a request.
        pool.submit(run_thread, lose).result()
    assert heard == [Lost]
    assert error_events(telemetry.spans) == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_exits_is_no_error(telemetry: Telemetry, in_request: Any) -> None:
    everylayer.configure(detached="record")
    with in_request():
        run_thread(sys.exit)
        timer = threading.Timer(0, lambda: None)
        timer.start()
        timer.join()
    assert error_events(telemetry.spans) == []


def test_outside_of_a_request_nothing_is_recorded(telemetry: Telemetry, heard: list[Any]) -> None:
    everylayer.configure(detached="record")
    run_thread(lose)
    with futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(lose)
        assert type(future) is futures.Future
        assert type(future.exception()) is Lost
    assert heard == [Lost]
    assert telemetry.spans == ()


def test_the_current_span_is_opentelemetrys(tracer: trace.Tracer) -> None:
    assert spans.current() is None
    with trace.use_span(trace.INVALID_SPAN):
        assert spans.current() is None
    with trace.use_span(trace.NonRecordingSpan(trace.INVALID_SPAN_CONTEXT)) as remote:
        assert spans.current() is remote is trace.get_current_span()
        with tracer.start_as_current_span("GET /") as span:
            assert spans.current() is span is trace.get_current_span()


ASKING: dict[str, Callable[[Any], Any]] = {
    "result": lambda future: future.result(),
    "exception": lambda future: future.exception(),
    "result_with_timeout": lambda future: future.result(5),
    "as_completed": lambda future: next(futures.as_completed([future])).exception(),
}


@pytest.mark.parametrize("how", ASKING)
def test_a_future_that_is_asked_is_the_callers(
    telemetry: Telemetry, in_request: Any, how: str
) -> None:
    everylayer.configure(detached="record")
    with futures.ThreadPoolExecutor(1) as pool, in_request():
        future = pool.submit(lose)
        assert isinstance(future, futures.Future)
        assert type(future).__name__ == "Future"
        with contextlib.suppress(Lost):
            ASKING[how](future)
        assert type(future) is futures.Future
        assert not [name for name in vars(future) if "everylayer" in name]
        del future
        collect()
    assert error_events(telemetry.spans) == []


def test_a_future_that_was_not_ready_when_it_was_asked_is_still_watched(
    telemetry: Telemetry, in_request: Any
) -> None:
    everylayer.configure(detached="record")
    go = threading.Event()

    def work() -> None:
        go.wait(10)
        lose()

    with futures.ThreadPoolExecutor(1) as pool, in_request():
        future = pool.submit(work)
        with pytest.raises(concurrent.futures.TimeoutError):
            future.result(0)
        go.set()
        futures.wait([future])
        del future
        collect()
    assert [span.name.rpartition(".")[2] for span in late_spans(telemetry.spans)] == ["work (late)"]


def test_a_cancelled_future_is_no_error(telemetry: Telemetry, in_request: Any) -> None:
    everylayer.configure(detached="record")
    go = threading.Event()
    with futures.ThreadPoolExecutor(1) as pool, in_request():
        pool.submit(go.wait, 10)
        assert pool.submit(lose).cancel()
        go.set()
    collect()
    assert error_events(telemetry.spans) == []


def test_a_loops_own_handler_and_the_default_one_stay(
    telemetry: Telemetry, in_request: Any, caplog: pytest.LogCaptureFixture
) -> None:
    everylayer.configure(detached="record")
    told: list[Any] = []

    async def main(own: bool) -> None:
        loop = asyncio.get_running_loop()
        if own:
            loop.set_exception_handler(lambda loop, about: told.append(about["message"]))
            assert loop.get_exception_handler() is not None
        with in_request():
            await asyncio.wait([asyncio.create_task(lose_soon())])
        collect()

    asyncio.run(main(own=True))
    asyncio.run(main(own=False))
    assert told == ["Task exception was never retrieved"]
    assert caplog.text.count("Task exception was never retrieved") == 1
    assert len(late_spans(telemetry.spans)) == 2


def test_a_cancelled_task_is_no_error(telemetry: Telemetry, in_request: Any) -> None:
    everylayer.configure(detached="record")

    async def main() -> None:
        with in_request():
            task = asyncio.create_task(asyncio.sleep(10))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])

    asyncio.run(main())
    assert error_events(telemetry.spans) == []


def test_another_loops_class_is_hooked_where_it_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Loop:
        def call_exception_handler(self, context: Any) -> str:
            return "called"

        def create_task(self, coro: Any) -> None: ...

    class Module:
        pass

    module = Module()
    module.Loop = Loop  # type: ignore[attr-defined]
    before = dict(vars(Loop))
    monkeypatch.setitem(sys.modules, "uvloop", module)  # type: ignore[arg-type]
    everylayer.configure(detached="record")
    assert Loop.call_exception_handler is not before["call_exception_handler"]
    assert Loop().call_exception_handler({"message": "nothing raised"}) == "called"
    everylayer.configure(detached="off")
    assert dict(vars(Loop)) == before


@pytest.mark.parametrize("on", [True, False])
def test_another_loops_class_is_hooked_once_it_is_loaded(
    on: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = "class Loop:\n    def call_exception_handler(self, context): return 'called'\n"
    source += "    def create_task(self, coro): ...\n"
    (tmp_path / "uvloop.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "uvloop", raising=False)
    before = list(sys.meta_path)
    everylayer.configure(detached="record")
    assert len(sys.meta_path) == len(before) + 1
    if not on:
        everylayer.configure(detached="off")
    import uvloop

    try:
        module = uvloop.Loop.call_exception_handler.__code__.co_filename
        assert module.endswith("forgotten_tasks.py") is on
        assert uvloop.Loop().call_exception_handler({"message": "nothing raised"}) == "called"
    finally:
        del sys.modules["uvloop"]
    everylayer.configure(detached="off")
    assert sys.meta_path == before


def test_a_task_of_uvloops_is_recorded(telemetry: Telemetry, in_request: Any) -> None:
    uvloop = pytest.importorskip("uvloop")
    everylayer.configure(detached="record")
    told: list[str] = []
    loop = uvloop.new_event_loop()
    loop.set_exception_handler(lambda loop, about: told.append(about["message"]))

    async def main() -> None:
        with in_request():
            await asyncio.wait([asyncio.create_task(lose_soon())])
            loop.call_soon(lose)
            await asyncio.sleep(0.01)
        collect()

    loop.run_until_complete(main())
    loop.close()
    assert len(told) == 2
    assert len(late_spans(telemetry.spans)) == len(error_events(telemetry.spans)) == 2


def test_an_inherited_function_is_given_back_to_its_base() -> None:
    class Base:
        def work(self) -> str:
            return "base"

    class Derived(Base):
        pass

    patch = Patch(
        Derived, "work", lambda before, switch: lambda self: f"{switch.on} {before(self)}"
    )
    patch.put()
    assert Derived().work() == "True base"
    patch.undo()
    patch.undo()
    assert "work" not in vars(Derived)


@pytest.fixture(autouse=True)
def _off() -> Iterator[None]:
    yield
    detached.stop()
