"""Finalizers that have an error to tell: wherever they run, nothing waits for itself."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind

import everylayer
from contract.locked import Locked, uncollected
from everylayer.boundaries import aftermath, detached, failure, restored
from everylayer.boundaries.crossing import Origin, here
from everylayer.boundaries.failure import Failure, _arrived
from everylayer.boundaries.tree import carry


class Lost(Exception):
    pass


@pytest.fixture
def exporter() -> Locked:
    return Locked()


@pytest.fixture
def tracer(exporter: Locked, monkeypatch: pytest.MonkeyPatch) -> trace.Tracer:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    # Late spans are of the global provider.
    monkeypatch.setattr(trace, "get_tracer", lambda name, *more, **given: provider.get_tracer(name))
    return provider.get_tracer("app")


@pytest.fixture(autouse=True)
def _off() -> Iterator[None]:
    yield
    detached.stop()


def lose() -> None:
    raise Lost("x")


def unasked_future(keep: Any) -> None:
    with futures.ThreadPoolExecutor(1) as pool:
        keep(pool.submit(lose))


def unawaited_task(keep: Any) -> None:
    async def lose_soon() -> None:
        lose()

    async def main() -> None:
        task = asyncio.create_task(lose_soon())
        await asyncio.wait([task])
        keep(task)

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, about: None)
    loop.run_until_complete(main())
    loop.close()


def unseen_failure(keep: Any) -> None:
    packed = here().data
    assert packed is not None
    keep(_arrived(carry(Lost("x")), Origin.unpacked(packed), "lose"))


@pytest.mark.parametrize("work", [unasked_future, unawaited_task, unseen_failure])
def test_what_is_collected_within_an_exporter_does_not_wait_for_its_lock(
    work: Callable[[Any], None], exporter: Locked, tracer: trace.Tracer
) -> None:
    everylayer.configure(detached="record")
    with uncollected(), tracer.start_as_current_span("GET /", kind=SpanKind.SERVER):
        cycle: list[Any] = []
        cycle.append(cycle)
        work(cycle.append)
        del cycle
    # The export of that span has collected it, with the lock held.
    assert aftermath.settle()
    assert not exporter.deadlocks
    assert exporter.spans[0].name == "GET /"
    told = [span.name.rpartition(".")[2] for span in exporter.spans[1:]]
    if work is unawaited_task and sys.version_info < (3, 12):
        # One that is part of a cycle has lost its span by then.
        assert told == []
    else:
        assert told in (["lose (late)"], ["lose_soon (late)"])


class Recording:
    """Records an error as it goes, as an app may that closes what is left open."""

    def __del__(self) -> None:
        everylayer.record(Lost("x"))


class Recorded(list[str]):
    """An attribute that records an error as it is read, which the SDK does with a lock held."""

    def __iter__(self) -> Iterator[str]:
        everylayer.record(Lost("x"))
        return super().__iter__()


def test_what_the_app_records_in_a_finalizer_does_not_wait_for_the_exporters_lock(
    exporter: Locked, tracer: trace.Tracer
) -> None:
    with uncollected(), tracer.start_as_current_span("GET /", end_on_exit=False) as span:
        cycle: list[Any] = [Recording()]
        cycle.append(cycle)
        del cycle
        # The export of that span collects it while the span is still the current one.
        span.end()
    assert aftermath.settle()
    assert not exporter.deadlocks
    first, late = exporter.spans
    assert (first.name, len(late.events)) == ("GET /", 1)


@pytest.mark.parametrize("ended", [False, True])
def test_what_an_attribute_records_as_it_is_set_does_not_wait_for_the_spans_lock(
    ended: bool, exporter: Locked, tracer: trace.Tracer
) -> None:
    def act() -> None:
        with tracer.start_as_current_span("GET /", end_on_exit=False) as span:
            if ended:
                span.end()
            another = tracer.start_span("another")
            (another if ended else span).set_attribute("names", Recorded("ab"))
            another.end()
            span.end()

    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
    assert aftermath.settle()
    assert sum(len(span.events) for span in exporter.spans) == 1


def test_another_requests_tenant_is_not_taken_for_that_of_what_is_collected(
    exporter: Locked, tracer: trace.Tracer
) -> None:
    everylayer.configure(detached="record")
    with tracer.start_as_current_span("GET /", kind=SpanKind.SERVER) as span:
        span.set_attribute("app.tenant.id", "acme")
        future: list[Any] = []
        unasked_future(future.append)
    with everylayer.use_tenant("globex"):
        future.clear()
        gc.collect()
        assert aftermath.settle()
    (late,) = (span for span in exporter.spans if span.name.endswith("(late)"))
    (event,) = late.events
    assert (event.attributes or {})["app.tenant.id"] == "acme"


def test_a_storm_is_bounded_and_what_is_too_much_is_counted(
    failures: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aftermath, "MAX_WAITING", 10)
    go = threading.Event()
    told: list[Any] = []
    aftermath.hand_over(go.wait, 10)
    while aftermath._waiting:
        pass
    for number in range(50):
        aftermath.hand_over(told.append, number)
    go.set()
    assert aftermath.settle()
    aftermath.hand_over(told.append, "after")
    assert aftermath.settle()
    assert told == [*range(10), "after"]
    assert failures == {"everylayer.boundaries.aftermath": 1}


def test_an_act_that_fails_stops_nothing(failures: dict[str, int]) -> None:
    told: list[int] = []
    aftermath.hand_over(lose)
    aftermath.hand_over(told.append, 1)
    assert aftermath.settle()
    assert told == [1]
    assert list(failures.values()) == [1]


FORGETFUL = """
import everylayer
from everylayer.boundaries import aftermath
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

processor = BatchSpanProcessor(ConsoleSpanExporter(formatter=lambda span: span.name))
provider = TracerProvider()
provider.add_span_processor(processor)
tracer = provider.get_tracer("app")
for _ in range(50):
    aftermath.hand_over(lambda: tracer.start_span("told ").end())
"""


def test_a_process_that_ends_at_once_tells_before_its_provider_shuts_down() -> None:
    # The provider is made after everylayer has been imported.
    found = subprocess.run(
        [sys.executable, "-c", FORGETFUL], capture_output=True, text=True, timeout=60, check=True
    )
    assert found.stdout.split() == ["told"] * 50, found.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_tells_what_is_its_own() -> None:
    go = threading.Event()
    told: list[str] = []
    aftermath.hand_over(go.wait, 10)
    aftermath.hand_over(told.append, "the parent's")
    child = os.fork()
    if not child:
        aftermath.hand_over(told.append, "the child's")
        os._exit(0 if aftermath.settle() and told == ["the child's"] else 1)
    go.set()
    assert os.waitpid(child, 0)[1] == 0
    assert aftermath.settle()
    assert told == ["the parent's"]


def test_where_no_thread_can_begin_the_next_one_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise RuntimeError("can't start new thread")

    told: list[int] = []
    with monkeypatch.context() as patched:
        patched.setattr("_thread.start_new_thread", refuse)
        aftermath.hand_over(told.append, 1)
        assert told == []
    aftermath.hand_over(told.append, 2)
    assert aftermath.settle()
    assert told == [1, 2]


def test_who_settles_what_no_thread_has_told_waits_no_longer_than_it_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*args: Any) -> None:
        raise RuntimeError("can't start new thread")

    told: list[int] = []

    def slowly(number: int) -> None:
        time.sleep(0.05)
        told.append(number)

    with monkeypatch.context() as patched:
        patched.setattr("_thread.start_new_thread", refuse)
        for number in range(20):
            aftermath.hand_over(slowly, number)
        assert not aftermath.settle(0.1)
        assert 0 < len(told) < 20
    assert aftermath.settle()
    assert told == [*range(20)]


def test_a_failure_that_was_shown_has_nothing_to_tell(tracer: trace.Tracer) -> None:
    with tracer.start_as_current_span("GET /", kind=SpanKind.SERVER):
        failure = Failure(carry(Lost("x")), Origin.unpacked(here().data or b""), "lose")
        del failure
    assert not aftermath._waiting


def test_an_error_that_another_thread_is_making_again_is_not_waited_for(
    tracer: trace.Tracer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # That thread may be at an import that waits for this one, or be missing after a fork.
    going, go = threading.Event(), threading.Event()

    def slowly(carried: Any) -> BaseException:
        if threading.current_thread() is first:
            going.set()
            go.wait(10)
        return restored.restore(carried)

    monkeypatch.setattr(failure, "restore", slowly)
    with tracer.start_as_current_span("GET /", kind=SpanKind.SERVER):
        one = _arrived(carry(Lost("x")), Origin.unpacked(here().data or b""), "lose")
    found: list[BaseException] = []
    first, second = (
        threading.Thread(target=lambda: found.append(one.error()), daemon=True) for _ in range(2)
    )
    first.start()
    assert going.wait(5)
    second.start()
    second.join(5)
    assert [type(each) for each in found] == [Lost]
    go.set()
    first.join(5)
    assert found == [found[0]] * 2
