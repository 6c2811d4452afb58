"""The boundaries within one another, with what a stranger would try at each of them."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

import everylayer
import far_work
from contract.collect import collect
from contract.telemetry import (
    SpanEvent,
    Telemetry,
    error_events,
    late_spans,
    server_span,
    trace_ids,
)
from everylayer.boundaries import detached
from everylayer.ledger import Ledger
from everylayer.settings import Settings

pytest.importorskip("tblib")

FORK = multiprocessing.get_context("fork")
SPAWN = multiprocessing.get_context("spawn")
groups = pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups are of 3.11")
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@pytest.fixture(scope="module")
def pool() -> Iterator[everylayer.ProcessPoolExecutor]:
    """One spawned worker for most cases: all that it knows has crossed."""
    with everylayer.ProcessPoolExecutor(1, SPAWN) as found:
        yield found


@pytest.fixture(autouse=True)
def _off() -> Iterator[None]:
    yield
    detached.stop()


@contextlib.contextmanager
def request(telemetry: Telemetry, status: int = 200, tenant: str | None = None) -> Iterator[Any]:
    """Serve one request as an outermost seam does."""
    tracer = telemetry.provider.get_tracer("web")
    ledger = Ledger(Settings())
    with (
        everylayer.use_tenant(tenant),
        tracer.start_as_current_span("GET /", kind=SpanKind.SERVER) as span,
    ):
        ledger.bind(span, inside=True)
        yield span
        span.set_attribute("http.response.status_code", status)
        ledger.responded(status)
    ledger.close()


def events(telemetry: Telemetry) -> list[SpanEvent]:
    collect()
    assert len(trace_ids(telemetry.spans)) <= 1
    return error_events(telemetry.spans)


def values(event: SpanEvent) -> dict[str, Any]:
    return dict(event.event.attributes or {})


def only(telemetry: Telemetry) -> tuple[ReadableSpan, dict[str, Any]]:
    (found,) = events(telemetry)
    return found.span, values(found)


# What crosses, and what does not.


def test_a_worker_works_for_the_tenant_with_allowed_baggage_and_nothing_else(
    pool: everylayer.ProcessPoolExecutor, telemetry: Telemetry
) -> None:
    everylayer.configure(baggage_keys=["app.*"])
    token = context.attach(baggage.set_baggage("app.plan", "gold, \u00fc; x"))
    context.attach(baggage.set_baggage("card", "4111"))
    context.attach(context.set_value("request", object()))
    try:
        with request(telemetry, tenant="acme") as span:
            found = pool.submit(far_work.look).result(30)
            again = everylayer.uncarried(everylayer.carried(far_work.look)())
    finally:
        context.detach(token)
    assert again == {**found, "pid": os.getpid()}
    assert found == {
        "tenant": "acme",
        "baggage": {"app.plan": "gold, \u00fc; x"},
        "keys": 2,
        "span": trace.format_span_id(span.get_span_context().span_id),
        "pid": found["pid"],
    }
    nothing = {"tenant": None, "baggage": {}, "keys": 0, "span": "0" * 16, "pid": found["pid"]}
    assert pool.submit(far_work.look).result(30) == nothing


def test_a_tenants_job_without_a_span_keeps_its_tenant(
    pool: everylayer.ProcessPoolExecutor, telemetry: Telemetry
) -> None:
    with everylayer.use_tenant("acme"):
        assert pool.submit(far_work.look).result(30)["tenant"] == "acme"
        with pytest.raises(KeyError):
            pool.submit(far_work.boom).result(30)
    assert events(telemetry) == []


def test_a_fork_forgets_the_tenant_of_the_request_that_began_it(telemetry: Telemetry) -> None:
    with everylayer.ProcessPoolExecutor(1, FORK) as forked:
        with request(telemetry, tenant="acme"):
            assert forked.submit(far_work.look).result(30)["tenant"] == "acme"
        with request(telemetry, tenant="globex"):
            assert forked.submit(far_work.look).result(30)["tenant"] == "globex"
        assert forked.submit(far_work.look).result(30)["tenant"] is None


@pytest.mark.parametrize("asked", [True, False])
def test_the_tenant_is_on_what_a_worker_raises_whoever_records_it(
    asked: bool, pool: everylayer.ProcessPoolExecutor, telemetry: Telemetry
) -> None:
    with request(telemetry, tenant="acme"):
        future = pool.submit(far_work.boom)
        if asked:
            with pytest.raises(KeyError):
                future.result(30)
        else:
            futures.wait([future], 30)
            telemetry.wait(lambda spans: True, 0.05)
    # The record is made in another thread, which has no tenant.
    telemetry.wait(error_events)
    _, found = only(telemetry)
    assert found["app.tenant.id"] == "acme"


def test_the_tenant_is_on_what_a_process_raises(telemetry: Telemetry) -> None:
    with request(telemetry, tenant="acme"):
        process = everylayer.Process(target=far_work.die)
        process.start()
        process.join(30)
    span, found = only(telemetry)
    assert found["app.tenant.id"] == "acme"
    assert found["exception.type"].endswith("ProcessDied")
    assert span.name == "die (late)"


def test_what_the_request_knows_as_sensitive_is_not_sent_and_yet_redacted(
    pool: everylayer.ProcessPoolExecutor, telemetry: Telemetry
) -> None:
    with request(telemetry):
        everylayer.sensitive("orange-harbour")
        with pytest.raises(ValueError, match="orange-harbour") as caught:
            pool.submit(far_work.refuse, "orange-harbour").result(30)
        assert not pool.submit(far_work.knows_sensitive).result(30)
    assert "orange-harbour" in str(caught.value)
    _, found = only(telemetry)
    assert "orange-harbour" not in repr(found)


# Within one another.


def test_a_process_pool_in_a_thread_pool_in_a_task(
    pool: everylayer.ProcessPoolExecutor, telemetry: Telemetry
) -> None:
    threads = everylayer.ThreadPoolExecutor(2)

    def thread() -> Any:
        return pool.submit(far_work.chain).result(30)

    async def task() -> Any:
        return await asyncio.wrap_future(threads.submit(thread))

    async def main() -> None:
        with request(telemetry, 500, "acme"):
            with pytest.raises(far_work.Needs) as caught:
                await everylayer.create_task(task())
            assert isinstance(caught.value.__cause__, KeyError)
            found = everylayer.trace_of(caught.value)
            assert found is not None
            assert found.layer == "chain"

    with threads:
        asyncio.run(main())
    span, found = only(telemetry)
    assert span.name == "GET /"
    assert span.status.status_code is StatusCode.ERROR
    assert found["everylayer.exception.chain"] == ("cause: KeyError",)
    assert found["app.tenant.id"] == "acme"


def test_ten_requests_at_once_share_pools_and_no_error_is_on_anothers_trace(
    pool: everylayer.ProcessPoolExecutor, telemetry: Telemetry
) -> None:
    threads = everylayer.ThreadPoolExecutor(3)
    begun: dict[int, str] = {}

    async def one(number: int) -> None:
        with request(telemetry, tenant=f"t{number}") as span:
            begun[span.get_span_context().trace_id] = f"t{number}"
            calls = [threads.submit(lambda: pool.submit(far_work.name, number).result(30))]
            calls += [pool.submit(far_work.name, number)]
            found = await asyncio.gather(*map(asyncio.wrap_future, calls), return_exceptions=True)
            assert [str(each) for each in found] == [f"t{number}"] * 2

    async def main() -> None:
        # Copies of a context without a span: each request is the root of its own.
        await asyncio.gather(*(asyncio.create_task(one(number)) for number in range(10)))

    with threads:
        asyncio.run(main())
    collect()
    found = error_events(telemetry.spans)
    assert len(found) == 20
    for each in found:
        assert each.span.context is not None
        assert values(each)["app.tenant.id"] == begun[each.span.context.trace_id]
        assert values(each)["exception.message"] == begun[each.span.context.trace_id]


@groups
def test_a_group_over_tasks_and_processes_is_one_event(
    pool: everylayer.ProcessPoolExecutor, telemetry: Telemetry
) -> None:
    async def far() -> None:
        await asyncio.get_running_loop().run_in_executor(pool, far_work.group)

    async def main() -> None:
        with request(telemetry, 500):
            try:
                async with everylayer.TaskGroup() as outer:
                    outer.create_task(far())
            except BaseExceptionGroup as found:
                caught.append(found)

    caught: list[Any] = []
    asyncio.run(main())
    (inner,) = caught[0].exceptions
    assert [type(each) for each in inner.exceptions] == [KeyError, far_work.Needs]
    assert inner.exceptions[1].__cause__.args == ("cause of a member",)
    span, shown = only(telemetry)
    assert span.name == "GET /"
    assert "cause of a member" in shown["exception.stacktrace"]


@groups
def test_a_group_of_errors_from_several_processes_is_recorded_once(
    pool: everylayer.ProcessPoolExecutor, telemetry: Telemetry
) -> None:
    with request(telemetry, 500):
        calls = [pool.submit(far_work.refuse, f"no {number}") for number in range(3)]
        found = [call.exception(30) for call in calls]
        everylayer.record(ExceptionGroup("all", [each for each in found if each]))
    # It stands for its members.
    span, shown = only(telemetry)
    assert span.name == "GET /"
    assert all(f"refused no {number}" in shown["exception.stacktrace"] for number in range(3))


def test_errors_after_the_response_from_three_kinds_of_work(
    pool: everylayer.ProcessPoolExecutor, telemetry: Telemetry
) -> None:
    answered = threading.Event()
    threads = everylayer.ThreadPoolExecutor(1)

    def late() -> None:
        answered.wait(10)
        raise KeyError("thread")

    with request(telemetry, tenant="acme") as parent:
        calls = [threads.submit(late), pool.submit(far_work.slow, 0.1)]
        daemon = threading.Thread(target=everylayer.propagate(late), daemon=True)
        with contextlib.suppress(AttributeError):
            daemon._invoke_excepthook = lambda *args: None  # type: ignore[attr-defined]
        daemon.start()
    answered.set()
    futures.wait(calls, 30)
    daemon.join(30)
    threads.shutdown()
    late_ones = late_spans(telemetry.wait(lambda spans: len(late_spans(spans)) == 3))
    assert len(late_ones) == len(events(telemetry)) == 3
    for span in late_ones:
        assert span.parent is not None
        assert span.parent.span_id == parent.get_span_context().span_id
        assert span.status.status_code is StatusCode.ERROR
        assert dict(span.events[0].attributes or {})["app.tenant.id"] == "acme"
    assert server_span(telemetry.spans).status.is_unset


def test_detached_beside_process_pools_records_once(
    pool: everylayer.ProcessPoolExecutor, telemetry: Telemetry
) -> None:
    everylayer.configure(detached="record")
    with request(telemetry):
        futures.wait([pool.submit(far_work.boom)], 30)
        with everylayer.ProcessPoolExecutor(1, FORK) as forked:
            futures.wait([forked.submit(far_work.boom)], 30)
        with futures.ProcessPoolExecutor(1, FORK) as plain:
            futures.wait([plain.submit(far_work.boom)], 30)
            assert type(plain.submit(far_work.look)) is futures.Future
    telemetry.wait(lambda spans: len(late_spans(spans)) == 2)
    assert [each.span.name for each in events(telemetry)] == ["boom (late)"] * 2


def test_a_failing_worker_in_a_forgotten_thread_is_recorded_once(
    pool: everylayer.ProcessPoolExecutor,
    telemetry: Telemetry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: heard.append(args.exc_type))
    everylayer.configure(detached="record")
    with request(telemetry):
        thread = threading.Thread(
            target=everylayer.propagate(lambda: pool.submit(far_work.boom).result(30))
        )
        thread.start()
        thread.join(30)
    assert heard == [KeyError]
    assert len(events(telemetry)) == 1


# What a stranger raises.


@pytest.mark.parametrize("how", sorted(far_work.HOSTILE))
def test_a_hostile_exception_breaks_neither_pool_nor_record(
    how: str, pool: everylayer.ProcessPoolExecutor, telemetry: Telemetry
) -> None:
    with request(telemetry, 500):
        error = pool.submit(far_work.hostile, how).exception(30)
        assert isinstance(error, Exception), error
        assert pool.submit(far_work.look).result(30)["keys"] == 1
    assert type(error).__name__ == far_work.HOSTILE[how].__name__
    # Its class may refuse to tell.
    assert isinstance(BaseException.__dict__["__cause__"].__get__(error), KeyError)
    assert not os.path.exists(far_work.TOUCHED)
    span, found = only(telemetry)
    assert span.name == "GET /"
    assert found["exception.type"].endswith(far_work.HOSTILE[how].__name__)


def test_a_hostile_call_that_cannot_be_sent_is_the_callers(
    pool: everylayer.ProcessPoolExecutor, telemetry: Telemetry
) -> None:
    with request(telemetry, 500):
        unsendable = pool.submit(far_work.refuse, threading.Lock())  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            unsendable.result(30)
        unpicklable = pool.submit(far_work.bad_result)
        assert unpicklable.exception(30) is not None
        assert pool.submit(far_work.look).result(30)["keys"] == 1
    assert len(events(telemetry)) == 2


# How the workers come to be.


def test_workers_of_a_fork_server_that_serve_one_call_each(telemetry: Telemetry) -> None:
    server = multiprocessing.get_context("forkserver")
    more: dict[str, Any] = {"max_tasks_per_child": 1} if sys.version_info >= (3, 11) else {}
    # One after the other: of calls that wait in line, Python's own pool may forget some.
    with (
        everylayer.ProcessPoolExecutor(1, server, **more) as served,
        request(telemetry, 500, "acme"),
    ):
        first = served.submit(far_work.look).result(30)
        error = served.submit(far_work.chain).exception(30)
    assert first["tenant"] == "acme"
    assert isinstance(error, far_work.Needs)
    assert isinstance(error.__cause__, KeyError)
    assert (error.pid == first["pid"]) is not bool(more)
    _, shown = only(telemetry)
    assert shown["app.tenant.id"] == "acme"


# Where an error was.


def test_an_error_that_was_recorded_elsewhere_says_where(
    pool: everylayer.ProcessPoolExecutor, telemetry: Telemetry
) -> None:
    with request(telemetry) as span:
        error = pool.submit(far_work.chain).exception(30)
    assert error is not None
    found = everylayer.trace_of(error)
    assert found is not None
    assert found.trace_id == trace.format_trace_id(span.get_span_context().trace_id)
    wrapper = RuntimeError("again")
    wrapper.__cause__ = error
    assert everylayer.trace_of(wrapper) == found
    assert time.time_ns() - found.time_ns < 60_000_000_000


def test_an_error_that_a_service_has_told_of_says_where() -> None:
    from everylayer.boundaries import received

    class Response:
        pass

    response = Response()
    ids = "trace=4bf92f3577b34da6a3ce929d0e0e4736;span=00f067aa0ba902b7"
    received.remember(response, f"v=1,type=shop.Sold;layer=stock;service=shop;{ids}")
    error = ConnectionError("503")
    error.response = response  # type: ignore[attr-defined]
    found = everylayer.trace_of(error)
    assert found == ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "stock", 0)
    assert everylayer.trace_of(ConnectionError("503")) is None
