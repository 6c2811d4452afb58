"""The helpers look and behave like what they stand for, failing or not."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import sys
import threading
import traceback
import warnings
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from concurrent import futures
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind

import everylayer
from contract.collect import collect
from contract.telemetry import Telemetry, error_events, late_spans, tree

value: contextvars.ContextVar[int] = contextvars.ContextVar("value", default=0)
empty = contextvars.Context


@pytest.fixture
def in_request(tracer: trace.Tracer) -> Iterator[None]:
    with tracer.start_as_current_span("GET /", kind=SpanKind.SERVER):
        token = value.set(1)
        yield
        value.reset(token)


def add(a: int, *, b: int = 1) -> int:
    """Add."""
    value.set(value.get() + 10)
    return a + b + value.get()


@pytest.mark.usefixtures("in_request")
def test_a_propagated_function_looks_like_the_one_it_is_made_of() -> None:
    ours = everylayer.propagate(add)
    assert inspect.signature(ours) == inspect.signature(add)
    assert (ours.__name__, ours.__doc__) == ("add", "Add.")
    # Each call starts from the context as it was, and leaves the caller's alone.
    assert [empty().run(ours, 1, b=2) for _ in range(2)] == [14, 14]
    assert value.get() == 1


@pytest.mark.usefixtures("in_request")
def test_a_propagated_function_runs_many_times_at_once() -> None:
    barrier = threading.Barrier(4)
    ours = everylayer.propagate(lambda: (barrier.wait(10), value.get())[1])
    with futures.ThreadPoolExecutor(4) as pool:
        assert [f.result() for f in [pool.submit(ours) for _ in range(4)]] == [1] * 4


async def asynchronous(a: int) -> int:
    await asyncio.sleep(0)
    before = value.get()
    value.set(5)
    await asyncio.sleep(0)
    return a + before + value.get()


def generator() -> Generator[int, int, str]:
    sent = yield value.get()
    value.set(sent)
    try:
        yield value.get()
    except KeyError:
        yield value.get() + 1
    return "returned"


async def asynchronous_generator() -> AsyncGenerator[int, int]:
    sent = yield value.get()
    value.set(sent)
    try:
        yield value.get()
    except KeyError:
        yield value.get() + 1


@pytest.mark.usefixtures("in_request")
def test_each_kind_of_function_stays_of_its_kind() -> None:
    for kind, function in (
        (inspect.iscoroutinefunction, asynchronous),
        (inspect.isgeneratorfunction, generator),
        (inspect.isasyncgenfunction, asynchronous_generator),
    ):
        assert kind(everylayer.propagate(function))
        if function is not asynchronous_generator:
            assert kind(everylayer.guard()(function))
    with pytest.raises(TypeError, match="does not wrap an async generator"):
        everylayer.guard()(asynchronous_generator)


@pytest.mark.usefixtures("in_request")
def test_a_propagated_coroutine_runs_in_another_loop() -> None:
    ours = everylayer.propagate(asynchronous)
    assert empty().run(asyncio.run, ours(1)) == 7
    assert value.get() == 1


@pytest.mark.usefixtures("in_request")
def test_a_propagated_generator_takes_what_is_sent_and_thrown() -> None:
    ours = everylayer.propagate(generator)()
    out = empty()
    assert out.run(next, ours) == 1
    assert out.run(ours.send, 7) == 7
    assert out.run(ours.throw, KeyError()) == 8
    with pytest.raises(StopIteration, match="returned"):
        next(ours)
    assert out.run(value.get) == 0


@pytest.mark.usefixtures("in_request")
def test_a_propagated_async_generator_takes_what_is_sent_and_thrown() -> None:
    ours = everylayer.propagate(asynchronous_generator)

    async def use() -> list[int]:
        made = ours()
        found = [await made.asend(None), await made.asend(7)]  # type: ignore[arg-type]
        found += [await made.athrow(KeyError())]
        with pytest.raises(StopAsyncIteration):
            await made.__anext__()
        half = ours()
        await half.__anext__()
        await half.aclose()
        return [*found, value.get()]

    assert empty().run(asyncio.run, use()) == [1, 7, 8, 0]


def fail() -> None:
    raise ValueError("x")


async def fail_async() -> None:
    raise ValueError("x")


def fail_in_generator() -> Iterator[int]:
    raise ValueError("x")
    yield 1


async def fail_in_async_generator() -> Any:
    raise ValueError("x")
    yield 1


async def drain(made: Any) -> None:
    async for _ in made:
        pass


FAILING: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "function": (fail, lambda call: call()),
    "coroutine": (fail_async, lambda call: asyncio.run(call())),
    "generator": (fail_in_generator, lambda call: list(call())),
    "async_generator": (fail_in_async_generator, lambda call: asyncio.run(drain(call()))),
}


@pytest.mark.parametrize("kind", FAILING)
@pytest.mark.parametrize("helper", ["propagate", "guard"])
def test_what_fails_is_recorded_once_and_our_frames_do_not_show(
    telemetry: Telemetry, tracer: trace.Tracer, kind: str, helper: str
) -> None:
    function, call = FAILING[kind]
    if (kind, helper) == ("async_generator", "guard"):
        pytest.skip("a guard stands inside an async generator function")
    with tracer.start_as_current_span("GET /", kind=SpanKind.SERVER):
        wrap = everylayer.propagate if helper == "propagate" else everylayer.guard()
        with pytest.raises(ValueError, match="x") as raised:
            call(wrap(function))
    ((_, event),) = error_events(telemetry.spans)
    assert (event.attributes or {})["everylayer.layer.name"] == function.__name__
    frames = [frame.filename for frame in traceback.extract_tb(raised.value.__traceback__)]
    if sys.version_info >= (3, 11):
        assert not [name for name in frames if "/boundaries/" in name and "/src/" in name]


def test_tasks_are_asyncios_own(telemetry: Telemetry, tracer: trace.Tracer) -> None:
    async def main() -> None:
        task = everylayer.create_task(asynchronous(1), name="mine")
        assert type(task) is asyncio.Task
        assert task.get_name() == "mine"
        assert "asynchronous()" in repr(task)
        assert await task == 6
        with pytest.raises(TypeError, match="a coroutine was expected"):
            everylayer.create_task(3)  # type: ignore[arg-type]
        if sys.version_info >= (3, 11):
            context = contextvars.copy_context()
            context.run(value.set, 3)
            assert await everylayer.create_task(asynchronous(1), context=context) == 9
            assert context.run(value.get) == 5
        if sys.version_info >= (3, 14):
            assert everylayer.create_task(quick(), eager_start=True).done()

    async def quick() -> None:
        return

    with tracer.start_as_current_span("GET /", kind=SpanKind.SERVER):
        asyncio.run(main())
    assert error_events(telemetry.spans) == []


def test_a_task_that_never_starts_warns_where_asyncios_does() -> None:
    async def cancelled(create: Callable[..., Any]) -> None:
        task = create(asynchronous(1))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    def never_run(create: Callable[..., Any]) -> None:
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda *_: None)

        async def start() -> None:
            loop.stop()
            create(asynchronous(1))

        with contextlib.suppress(RuntimeError):
            loop.run_until_complete(start())
        loop._ready.clear()  # type: ignore[attr-defined]
        loop.close()

    def heard(create: Callable[..., Any]) -> list[str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            asyncio.run(cancelled(create))
            never_run(create)
            collect()
        return [str(one.message) for one in caught]

    assert heard(everylayer.create_task) == heard(asyncio.create_task)


@pytest.mark.skipif(sys.version_info >= (3, 11), reason="there is one")
def test_a_task_group_says_what_it_needs() -> None:
    with pytest.raises(RuntimeError, match=r"Python 3\.11 or newer"):
        everylayer.TaskGroup()


def test_a_pool_refuses_what_pythons_refuses() -> None:
    with pytest.raises(TypeError, match="callable"):
        everylayer.ThreadPoolExecutor(initializer=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="greater than 0"):
        everylayer.ThreadPoolExecutor(0)
    pool = everylayer.ThreadPoolExecutor(1, "named", initializer=value.set, initargs=(4,))
    with pool:
        assert pool.submit(lambda: threading.current_thread().name).result() == "named_0"
        # As Python's: an initializer prepares the thread, not the work, which has its caller's.
        assert pool.submit(value.get).result() == 0
        assert futures.ThreadPoolExecutor.submit(pool, value.get).result() == 4
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(fail)


def test_one_object_raised_in_two_requests_is_on_both(
    telemetry: Telemetry, tracer: trace.Tracer
) -> None:
    shared = ValueError("shared")

    def lose() -> None:
        raise shared

    with everylayer.ThreadPoolExecutor(3) as pool:
        waiting = threading.Event()
        for _ in range(2):
            with tracer.start_as_current_span("GET /", kind=SpanKind.SERVER):
                assert pool.submit(lose).exception() is shared
                pool.submit(lambda: (waiting.wait(10), lose()))
        waiting.set()
    spans = telemetry.spans
    assert [len(span.events) for span in spans if span.name == "GET /"] == [1, 1], tree(spans)


def test_a_thread_that_outlives_its_request_is_late_once(
    telemetry: Telemetry, tracer: trace.Tracer
) -> None:
    go = threading.Event()

    @everylayer.guard(layer="outer")
    def work() -> None:
        go.wait(10)
        with everylayer.ThreadPoolExecutor(1) as inner:
            inner.submit(fail).result()

    with everylayer.ThreadPoolExecutor(1) as pool:
        with tracer.start_as_current_span("GET /", kind=SpanKind.SERVER):
            future = pool.submit(work)
        go.set()
        assert isinstance(future.exception(), ValueError)
    (late,) = late_spans(telemetry.spans)
    assert late.name == "fail (late)"


def test_without_a_span_nothing_is_recorded_and_nothing_changes(telemetry: Telemetry) -> None:
    with pytest.raises(ValueError, match="x"):
        everylayer.propagate(fail)()
    with everylayer.ThreadPoolExecutor(1) as pool:
        assert isinstance(pool.submit(fail).exception(), ValueError)
    assert telemetry.spans == ()


@pytest.mark.parametrize("leaves", [False, True])
@pytest.mark.parametrize("kind", [SpanKind.INTERNAL, SpanKind.SERVER])
def test_within_a_span_without_response_what_leaves_it_is_an_error(
    telemetry: Telemetry, tracer: trace.Tracer, leaves: bool, kind: SpanKind
) -> None:
    with (
        contextlib.suppress(ValueError),
        everylayer.ThreadPoolExecutor(1) as pool,
        tracer.start_as_current_span("own", kind=kind) as span,
    ):
        if kind is SpanKind.SERVER:
            span.set_attribute("http.response.status_code", 200)
        with contextlib.nullcontext() if leaves else contextlib.suppress(ValueError):
            pool.submit(fail).result()
    ((own, event),) = error_events(telemetry.spans)
    assert (event.attributes or {})["everylayer.handled"] is not leaves
    assert own.status.is_unset is not leaves
