"""Ten thousand requests over the same threads and tasks: nothing of one is found in another."""

from __future__ import annotations

import asyncio
import contextvars
import re
import threading
from concurrent import futures
from typing import Any

import pytest
from boundary_apps import flask, starlette_async
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan

import everylayer
from contract.drive import call_asgi, environ, run_wsgi, scope
from contract.telemetry import Telemetry, error_events, late_spans, server_spans

REQUESTS = 5_000
AT_ONCE = 50
CLIENTS = 4
current: contextvars.ContextVar[int] = contextvars.ContextVar("current", default=-1)
late = threading.Event()


class Injected(Exception):
    pass


def outcome(number: int) -> str:
    """Return what the work of request `number` does: one in five fails, one in fifty late."""
    if number % 50 == 7:
        return "late"
    return "fails" if number % 5 == 0 else "works"


def work(number: int, span_id: int) -> int:
    # What was set and seen where the work was started is set and seen here.
    assert current.get() == number
    assert trace.get_current_span().get_span_context().span_id == span_id
    current.set(-2)
    if outcome(number) == "late":
        assert late.wait(60)
    if outcome(number) != "works":
        raise Injected(str(number))
    return number


def app_of(serve: Any) -> Any:
    return serve.__closure__[0].cell_contents


def agree(exc: Injected, number: int) -> None:
    assert str(exc) == str(number)


def here() -> tuple[int, int]:
    """Return what a context holds: the number of a request, and the id of a span."""
    return current.get(), trace.get_current_span().get_span_context().span_id


def in_worker(pool: futures.ThreadPoolExecutor) -> tuple[int, int]:
    """Return what a thread of `pool` has in its own context, outside of all work."""
    found = futures.Future[tuple[int, int]]()

    class Work:
        def run(self) -> None:
            found.set_result(here())

    pool._work_queue.put(Work())  # type: ignore[arg-type]
    return found.result(10)


def _number_of(span: ReadableSpan) -> int:
    found = re.search(r"number=(\d+)", str(dict(span.attributes or {})))
    assert found is not None
    return int(found[1])


def check(telemetry: Telemetry) -> None:
    failing = {number for number in range(REQUESTS) if outcome(number) != "works"}
    spans = telemetry.wait(lambda spans: len(error_events(spans)) >= len(failing), 30)
    number_of = {
        span.context.trace_id: _number_of(span)
        for span in server_spans(spans)
        if span.context is not None
    }
    assert len(number_of) == REQUESTS
    found = [
        (number_of[span.context.trace_id], int(str((event.attributes or {})["exception.message"])))
        for span, event in error_events(spans)
        if span.context is not None
    ]
    assert all(of_trace == of_error for of_trace, of_error in found)
    assert sorted(of_error for _, of_error in found) == sorted(failing)
    assert len(late_spans(spans)) == len([n for n in failing if outcome(n) == "late"])


# As the client knows it.
numbered: contextvars.ContextVar[int] = contextvars.ContextVar("numbered")


@pytest.fixture(autouse=True)
def _not_late_yet() -> None:
    late.clear()


async def step(number: int, span_id: int) -> int:
    await asyncio.sleep(0)
    if outcome(number) == "late":
        while not late.is_set():  # noqa: ASYNC110 - set once, by whoever holds the loop
            await asyncio.sleep(0.01)
    return work(number, span_id)


def test_interleaved_tasks(telemetry: Telemetry) -> None:
    pool = everylayer.ThreadPoolExecutor(4)
    held: list[asyncio.Task[int]] = []

    async def view() -> None:
        number = numbered.get()
        current.set(number)
        span_id = trace.get_current_span().get_span_context().span_id
        if outcome(number) == "late":
            held.append(everylayer.create_task(step(number, span_id)))
            return
        try:
            if number % 2:
                loop = asyncio.get_running_loop()
                assert await loop.run_in_executor(pool, work, number, span_id) == number
            else:
                assert await everylayer.create_task(step(number, span_id)) == number
        except Injected as exc:
            agree(exc, number)
        assert here() == (number, span_id)

    async def serve_all(app: Any) -> None:
        waiting = iter(range(REQUESTS))

        async def client() -> None:
            before = here()
            for number in waiting:
                numbered.set(number)
                run = await call_asgi(app, scope(f"/?number={number}"))
                assert run.status == 200
                # Starlette runs the view in the caller's task: what it sets itself, it leaves.
                current.set(-1)
                assert here() == before

        await asyncio.gather(*(client() for _ in range(AT_ONCE)))
        late.set()
        await asyncio.gather(*held, return_exceptions=True)

    with starlette_async(view) as serve:
        app = app_of(serve)
        asyncio.run(serve_all(app))
    check(telemetry)
    assert in_worker(pool) == (-1, 0)


def test_interleaved_threads(telemetry: Telemetry) -> None:
    pool = everylayer.ThreadPoolExecutor(4)
    slow = everylayer.ThreadPoolExecutor(REQUESTS // 50)

    def view() -> None:
        number = numbered.get()
        token = current.set(number)
        span_id = trace.get_current_span().get_span_context().span_id
        try:
            if outcome(number) == "late":
                slow.submit(work, number, span_id)
            else:
                assert pool.submit(work, number, span_id).result() == number
        except Injected as exc:
            agree(exc, number)
        finally:
            assert here() == (number, span_id)
            current.reset(token)

    with flask(view) as serve:
        app = app_of(serve)

        def client(first: int) -> None:
            for number in range(first, REQUESTS, CLIENTS):
                numbered.set(number)
                before = here()
                assert run_wsgi(app, environ(f"/?number={number}")).status == 200
                assert here() == before

        with futures.ThreadPoolExecutor(CLIENTS) as clients:
            for done in [clients.submit(client, first) for first in range(CLIENTS)]:
                done.result()
        late.set()
        slow.shutdown()
    assert in_worker(pool) == (-1, 0)
    check(telemetry)
