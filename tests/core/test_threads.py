"""Several threads at one request, and code that runs where nobody expects it."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind

import everylayer
from contract.telemetry import Telemetry, error_events, late_spans
from everylayer import spans, writer
from everylayer.forks import ForkLock
from everylayer.layers import Layer
from everylayer.ledger import Ledger
from everylayer.observer import observe
from everylayer.settings import Settings

GATE = Layer("Gate", "middleware", 0)
Begin = Callable[..., tuple[trace.Span, Ledger]]
Catch = Callable[[BaseException], BaseException]


@pytest.fixture
def hasty() -> Iterator[None]:
    """Switch threads as often as the interpreter can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def together(*work: Callable[[], object]) -> None:
    barrier = threading.Barrier(len(work))

    def run(one: Callable[[], object]) -> None:
        barrier.wait()
        one()

    threads = [threading.Thread(target=run, args=(one,), daemon=True) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    assert not any(thread.is_alive() for thread in threads), "deadlock"


@pytest.mark.usefixtures("hasty")
def test_two_threads_with_one_exception(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    for _ in range(30):
        telemetry.clear()
        span, ledger = request_of()
        exc = caught(ValueError("x"))
        together(*[lambda: observe(exc, GATE, ledger=ledger) for _ in range(3)])  # noqa: B023
        ledger.responded(500)
        ledger.close()
        span.end()
        assert len(error_events(telemetry.spans)) == 1


@pytest.mark.usefixtures("hasty")
def test_no_error_is_lost_between_threads(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    for _ in range(30):
        telemetry.clear()
        span, ledger = request_of()
        errors = [caught(ValueError(number)) for number in range(4)]
        together(*[lambda e=e: observe(e, GATE, ledger=ledger) for e in errors])  # noqa: B023
        ledger.responded(500)
        ledger.close()
        span.end()
        assert len(error_events(telemetry.spans)) == 4


def test_the_first_errors_of_two_threads_meet_on_one_guard(
    telemetry: Telemetry, tracer: trace.Tracer, caught: Catch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each thread finds the span unguarded before either has put a guard on it."""
    span = tracer.start_span("work")
    barrier = threading.Barrier(2)
    original = spans.guard_of

    def guard_of(asked: Any) -> Any:
        found = original(asked)
        with contextlib.suppress(threading.BrokenBarrierError):
            barrier.wait(timeout=0.2)
        return found

    monkeypatch.setattr(spans, "guard_of", guard_of)

    def work(exc: BaseException) -> None:
        with trace.use_span(span):
            everylayer.record(exc)

    errors = [caught(ValueError("one")), caught(KeyError("two"))]
    together(*[lambda e=e: work(e) for e in errors])
    span.end()
    assert len(error_events(telemetry.spans)) == 2


def test_an_error_seen_while_the_span_ends_is_late_not_lost(
    telemetry: Telemetry, request_of: Begin, caught: Catch, monkeypatch: pytest.MonkeyPatch
) -> None:
    span, ledger = request_of()
    write = writer.write
    second = caught(KeyError("second"))

    def writing(*args: Any) -> None:
        write(*args)
        if not second.args[1:]:
            second.args = ("second", "seen")
            observe(second, GATE, ledger=ledger)

    monkeypatch.setattr(writer, "write", writing)
    observe(caught(ValueError("first")), GATE, ledger=ledger)
    ledger.responded(200)
    ledger.close()
    span.end()
    found = [e.span.name for e in error_events(telemetry.spans)]
    assert found == ["GET /", "Gate (late)"]
    assert len(late_spans(telemetry.spans)) == 1


def test_a_finalizer_that_records_does_not_deadlock(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    """Dropping an exception frees what its frames hold, and that may run anything."""
    span, ledger = request_of(max_events=1)
    freed: list[int] = []

    class Resource:
        def __del__(self) -> None:
            freed.append(1)
            with trace.use_span(span):
                everylayer.record(OSError("not closed"), layer="Resource")

    class LeakError(Exception):
        def __init__(self) -> None:
            super().__init__("leak")
            self.resource = Resource()

    def flood() -> None:
        for _ in range(6):
            observe(LeakError(), GATE, ledger=ledger)

    together(flood)
    assert freed
    ledger.close()
    span.end()


def test_an_error_in_another_thread_of_the_request(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    """The thread has no context: its seam knows the ledger."""
    span, ledger = request_of()
    together(lambda: observe(caught(ValueError("x")), GATE, "thread", ledger=ledger))
    ledger.responded(200)
    ledger.close()
    span.end()
    assert len(error_events(telemetry.spans)) == 1


def test_requests_in_parallel_keep_their_errors_apart(
    telemetry: Telemetry, tracer: trace.Tracer, caught: Catch
) -> None:
    def request(number: int) -> None:
        ledger = Ledger(Settings())
        with tracer.start_as_current_span(f"GET /{number}", kind=SpanKind.SERVER):
            exc = caught(ValueError(number))
            for _ in range(3):
                observe(exc, GATE, ledger=ledger)
            everylayer.record(caught(KeyError(number)))
            ledger.responded(500)
            ledger.close()

    together(*[lambda n=n: [request(n + 10 * i) for i in range(10)] for n in range(4)])
    assert len(telemetry.spans) == 40
    for span in telemetry.spans:
        assert len(span.events) == 2
        for event in span.events:
            assert (event.attributes or {})["exception.message"] == span.name[5:]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_by_the_thread_that_holds_a_lock_goes_on_in_both_processes() -> None:
    lock = ForkLock()
    child = -1
    try:
        with lock:
            child = os.fork()
            with lock:
                pass
        with lock:
            code = 0
    except BaseException:
        code = 1
    if not child:
        os._exit(code)
    assert (code, os.waitpid(child, 0)[1]) == (0, 0)
