"""A snapshot: every thread and task with its stack, and the trace that it works for."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import json
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, format_span_id, format_trace_id

import everylayer
from contract.drive import call_asgi, environ, run_wsgi, scope
from contract.telemetry import Telemetry
from everylayer import asgi, snapshot_app, wsgi
from everylayer.redaction.redactor import FAILED, Redactor
from everylayer.running.snapshot import Snapshot, TaskState, ThreadState, TraceRef, clean
from everylayer.settings import Settings

SECRET = "the-value-of-a-variable"
TOKEN = "0123456789abcdef"


class Stuck:
    """A place where others get stuck until they are let go."""

    def __init__(self) -> None:
        self._arrived = threading.Semaphore(0)
        self._go = threading.Event()

    def here(self) -> None:
        kept = SECRET
        self._arrived.release()
        assert self._go.wait(20), kept

    def wait_for(self, many: int = 1) -> None:
        for _ in range(many):
            assert self._arrived.acquire(timeout=20)

    def let_go(self) -> None:
        self._go.set()


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    made = Stuck()
    yield made
    made.let_go()


@contextlib.contextmanager
def in_thread(target: Callable[[], object], stuck: Stuck, name: str = "worker") -> Iterator[None]:
    """Run `target` until it is stuck."""
    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.start()
    stuck.wait_for()
    try:
        yield
    finally:
        stuck.let_go()
        thread.join(20)
        assert not thread.is_alive()


def refers(found: TraceRef | None, span: Span) -> bool:
    context = span.get_span_context()
    return (
        found is not None
        and found.trace_id == format_trace_id(context.trace_id)
        and found.span_id == format_span_id(context.span_id)
    )


def the_thread(taken: Snapshot, name: str = "worker") -> ThreadState:
    return next(thread for thread in taken.threads if thread.name == name)


def the_task(taken: Snapshot, name: str) -> TaskState:
    return next(task for task in taken.tasks if task.name == name)


def server(tracer: trace.Tracer) -> Span:
    return tracer.start_span("GET /orders", kind=SpanKind.SERVER)


def test_a_thread_is_shown_with_stack_and_trace(tracer: trace.Tracer, stuck: Stuck) -> None:
    def work() -> None:
        with tracer.start_as_current_span("charge the card") as span:
            started.append(span)
            stuck.here()

    started: list[Span] = []
    with in_thread(work, stuck):
        taken = everylayer.snapshot()
    found = the_thread(taken)
    assert refers(found.trace, started[0])
    assert found.trace is not None
    assert found.trace.name == "charge the card"
    assert found.trace.since == started[0].start_time  # type: ignore[attr-defined]
    assert not found.trace.ended
    assert found.daemon
    assert "in work" in "".join(found.stack)
    assert "    stuck.here()" in found.stack
    assert taken.threads[0] is found, "who works for a trace comes first"


def test_who_asks_is_shown_up_to_where_it_asks() -> None:
    found = next(t for t in everylayer.snapshot().threads if t.ident == threading.get_ident())
    assert found.stack[-1].strip().startswith("found = next(")
    assert 'snapshot.py", line' not in found.stack[-1]


@pytest.mark.parametrize("within", [False, True], ids=["span-outside", "span-inside"])
def test_a_request_of_a_wsgi_app(tracer: trace.Tracer, stuck: Stuck, within: bool) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        stuck.here()
        start_response("200 OK", [])
        return [b"ok"]

    def stock(environ: Any, start_response: Any) -> Any:
        # Held under another name than its own: the seams alone know.
        with trace.use_span(began):
            return inner(environ, start_response)

    began = server(tracer)
    seam: Any = wsgi.Seam(app if not within else stock, Settings())
    inner: Any = seam if not within else app
    outer = stock if not within else seam

    def work() -> None:
        run_wsgi(outer, {**environ("/"), "stock.span": began} if within else environ("/"))

    with in_thread(work, stuck):
        assert refers(the_thread(everylayer.snapshot()).trace, began)
    began.end()


def test_work_handed_to_a_pool_in_its_context(tracer: trace.Tracer, stuck: Stuck) -> None:
    with ThreadPoolExecutor(1, thread_name_prefix="pool") as pool:
        began = server(tracer)
        with trace.use_span(began):
            pool.submit(contextvars.copy_context().run, stuck.here)
        stuck.wait_for()
        taken = everylayer.snapshot()
        stuck.let_go()
    began.end()
    assert refers(the_thread(taken, "pool_0").trace, began)


def test_a_span_that_has_ended_is_shown_as_such(tracer: trace.Tracer, stuck: Stuck) -> None:
    began = server(tracer)

    def work() -> None:
        span = began
        span.end()
        stuck.here()

    with in_thread(work, stuck):
        found = the_thread(everylayer.snapshot()).trace
    assert refers(found, began)
    assert found is not None
    assert found.ended


def test_a_span_that_does_not_record_has_its_trace_at_least(stuck: Stuck) -> None:
    span_context = trace.SpanContext(7, 8, is_remote=True)

    def work() -> None:
        span = trace.NonRecordingSpan(span_context)
        assert span
        stuck.here()

    with in_thread(work, stuck):
        found = the_thread(everylayer.snapshot()).trace
    assert found == TraceRef("0" * 31 + "7", "0" * 15 + "8")


def test_a_thread_of_no_request_has_no_trace(telemetry: Telemetry, stuck: Stuck) -> None:
    with in_thread(stuck.here, stuck):
        assert the_thread(everylayer.snapshot()).trace is None


def snapshot_of(
    make: Callable[[], Awaitable[object]], name: str = "stuck", shown: str = "stuck"
) -> TaskState:
    """Take a snapshot from another thread while a task waits, and let the task go."""

    async def main() -> TaskState:
        task = asyncio.ensure_future(make())
        if isinstance(task, asyncio.Task):
            task.set_name(name)
        await asyncio.sleep(0.02)
        taken = await asyncio.to_thread(everylayer.snapshot)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return the_task(taken, shown)

    return asyncio.run(main())


def test_a_task_is_shown_with_its_whole_chain(tracer: trace.Tracer) -> None:
    async def innermost() -> None:
        kept = SECRET
        await asyncio.Event().wait()
        assert kept

    async def chunks() -> AsyncIterator[int]:
        await innermost()
        yield 1

    async def outermost() -> None:
        with trace.use_span(began, end_on_exit=True):
            async for _ in chunks():
                pass

    began = server(tracer)
    found = snapshot_of(outermost)
    text = "\n".join(found.stack)
    assert refers(found.trace, began)
    assert found.coroutine.endswith("outermost")
    assert found.thread == threading.get_ident()
    assert not found.running
    assert found.awaits.endswith("Future")
    assert text.index("in outermost") < text.index("in chunks") < text.index("in innermost")
    assert "    await asyncio.Event().wait()" in found.stack


def test_a_task_of_a_plain_context_is_found_by_what_wakes_it(tracer: trace.Tracer) -> None:
    began = server(tracer)

    async def child() -> None:
        await asyncio.Event().wait()

    async def parent() -> None:
        with trace.use_span(began, end_on_exit=True):
            waits = asyncio.create_task(child(), name="child")
        try:
            await waits
        finally:
            waits.cancel()

    async def main() -> Snapshot:
        task = asyncio.create_task(parent(), name="parent")
        await asyncio.sleep(0.02)
        taken = everylayer.snapshot()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return taken

    taken = asyncio.run(main())
    assert refers(the_task(taken, "child").trace, began)
    assert the_task(taken, "parent").awaits == "task 'child'"
    assert the_task(taken, "parent").trace is None, "it has left the span"


def test_a_request_of_an_asgi_app(tracer: trace.Tracer) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    async def request() -> None:
        with trace.use_span(began, end_on_exit=True):
            await call_asgi(asgi.Seam(app, Settings()), scope("/"))

    began = server(tracer)
    found = snapshot_of(request)
    assert refers(found.trace, began)
    assert "in app" in "".join(found.stack)


def test_a_task_that_runs_is_that_of_its_thread(tracer: trace.Tracer, stuck: Stuck) -> None:
    began = server(tracer)

    async def blocks() -> None:
        with trace.use_span(began, end_on_exit=True):
            stuck.here()

    def work() -> None:
        async def main() -> None:
            await asyncio.create_task(blocks(), name="blocks")

        asyncio.run(main())

    with in_thread(work, stuck, "loop"):
        taken = everylayer.snapshot()
    task, thread = the_task(taken, "blocks"), the_thread(taken, "loop")
    assert task.running
    assert task.thread == thread.ident
    assert thread.task == "blocks"
    assert "in blocks" in "".join(thread.stack)
    assert refers(thread.trace, began), "3.12 on, by the task; before by its handle"
    assert sys.version_info < (3, 12) or refers(task.trace, began)


def test_tasks_of_every_loop(stuck: Stuck) -> None:
    def work(name: str) -> None:
        async def main() -> None:
            waits = asyncio.create_task(asyncio.sleep(20), name=name)
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_soon(stuck.here)
            await asyncio.sleep(0.01)
            waits.cancel()

        asyncio.run(main())

    threads = [
        threading.Thread(target=work, args=(name,), name=name, daemon=True) for name in ("a", "b")
    ]
    for thread in threads:
        thread.start()
    stuck.wait_for(2)
    taken = everylayer.snapshot()
    stuck.let_go()
    for thread in threads:
        thread.join(20)
        assert the_task(taken, thread.name).thread == thread.ident
        assert the_task(taken, thread.name).awaits.endswith("Future")


def test_no_value_is_shown(tracer: trace.Tracer, stuck: Stuck) -> None:
    with in_thread(stuck.here, stuck):
        taken = everylayer.snapshot()
    assert "in here" in taken.text()
    assert SECRET not in taken.text() + json.dumps(taken.to_json())


def test_names_and_source_lines_pass_the_redactor(tracer: trace.Tracer, stuck: Stuck) -> None:
    card = "41111111" + "11111111"

    def work() -> None:
        with tracer.start_as_current_span(f"charge {card}") as span:
            login(password="hunt3r2")
            assert span

    def login(password: str) -> None:
        stuck.here()

    async def main() -> None:
        task = asyncio.create_task(asyncio.sleep(30), name=f"retry {card}")
        await asyncio.sleep(0)
        taken.append(everylayer.snapshot())
        task.cancel()

    taken: list[Snapshot] = []
    with in_thread(work, stuck, name=f"of jane@example.com, {card}"):
        asyncio.run(main())
        everylayer.configure(redaction="off")
        taken.append(everylayer.snapshot())
    for shown in (taken[0].text(), json.dumps(taken[0].to_json())):
        assert card not in shown
        assert "hunt3r2" not in shown
        assert "jane@example.com" not in shown
        assert "charge [card]" in shown
        assert "retry [card]" in shown
        assert "of [email], [card]" in shown
    assert 'login(password="[secret]")' in taken[0].text()
    assert f"charge {card}" in taken[1].text()


def test_a_redactor_that_fails_leaves_no_line(
    monkeypatch: pytest.MonkeyPatch, failures: dict[str, int], stuck: Stuck
) -> None:
    def fail(*args: object, **more: object) -> None:
        raise RuntimeError

    with in_thread(stuck.here, stuck):
        monkeypatch.setattr(Redactor, "_found", fail)
        shown = everylayer.snapshot().text()
    assert "stuck" not in shown
    assert FAILED in shown
    assert failures["everylayer.redaction"] > 0


def test_nothing_is_kept(tracer: trace.Tracer, stuck: Stuck) -> None:
    class Held:
        pass

    def work() -> None:
        held = Held()
        alive.append(weakref.ref(held))
        with tracer.start_as_current_span("work") as span:
            stuck.here()
            assert span

    alive: list[weakref.ref[Held]] = []
    gc.collect()
    gc.disable()
    try:
        with in_thread(work, stuck):
            taken = everylayer.snapshot()
        assert the_thread(taken).trace is not None
        assert alive[0]() is None
    finally:
        gc.enable()


def test_it_is_bounded() -> None:
    def dig(depth: int) -> Snapshot:
        return dig(depth - 1) if depth else everylayer.snapshot()

    async def waits(depth: int) -> None:
        await (waits(depth - 1) if depth else asyncio.sleep(20))

    async def main() -> Snapshot:
        many = [asyncio.create_task(waits(100), name="n" * 5_000) for _ in range(700)]
        await asyncio.sleep(0)
        taken = dig(500)
        for task in many:
            task.cancel()
        await asyncio.gather(*many, return_exceptions=True)
        return taken

    taken = asyncio.run(main())
    own = next(t for t in taken.threads if t.ident == threading.get_ident())
    assert any("frames left out" in line for line in own.stack)
    assert own.stack[-1].strip() == "return dig(depth - 1) if depth else everylayer.snapshot()"
    assert len(own.stack) < 150
    assert len(taken.tasks) + taken.tasks_left_out == 701
    assert taken.tasks_left_out > 0
    assert all(len(task.name) <= 200 for task in taken.tasks)
    assert f"[... {taken.tasks_left_out} tasks left out ...]" in taken.text()
    assert len(taken.text()) < 1_200_000


def test_what_is_named_by_others_is_one_valid_line() -> None:
    class Waits:
        def __await__(self) -> Generator[Any, Any, None]:
            yield from asyncio.sleep(20).__await__()

    async def main() -> Waits:
        await Waits()
        raise AssertionError

    found = snapshot_of(main, "a\nname \udc80 of mine", "a name \\udc80 of mine")
    assert "in __await__" in "".join(found.stack)
    assert json.dumps(Snapshot(0, 1, tasks=(found,)).to_json())
    assert clean("x" * 1_000).count("x") < 200
    assert clean(None) == ""


def test_a_task_of_somebody_elses_making(telemetry: Telemetry) -> None:
    class Odd(asyncio.Task):  # type: ignore[type-arg]
        def get_name(self) -> str:
            raise LookupError("no name")

    async def main() -> Snapshot:
        loop = asyncio.get_running_loop()
        odd = Odd(asyncio.sleep(20), loop=loop)
        even = loop.create_task(asyncio.sleep(20), name="even")
        await asyncio.sleep(0)
        taken = everylayer.snapshot()
        odd.cancel()
        even.cancel()
        return taken

    with pytest.MonkeyPatch.context() as patch:
        counted: dict[str, int] = {}
        patch.setattr("everylayer.failsafe._counts", counted)
        taken = asyncio.run(main())
    assert counted == {"everylayer.running.snapshot._of_task": 1}
    assert the_task(taken, "even")
    assert taken.tasks_left_out == 1


def test_it_never_raises(monkeypatch: pytest.MonkeyPatch, failures: dict[str, int]) -> None:
    monkeypatch.setattr("everylayer.running.tasks.all_loops", lambda frames: 1 / 0)
    taken = everylayer.snapshot()
    assert failures == {"everylayer.running.snapshot._take": 1}
    assert taken.threads == ()
    assert "note: the snapshot failed" in taken.text()


def test_it_says_what_it_cannot_see(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gevent", sys)
    assert "gevent is loaded: greenlets that wait are not seen" in everylayer.snapshot().notes


Client = Callable[..., Any]


def ask_wsgi(method: str = "GET", **headers: str) -> Any:
    return run_wsgi(snapshot_app.wsgi, environ("/", list(headers.items()), method))


def ask_asgi(method: str = "GET", **headers: str) -> Any:
    return asyncio.run(call_asgi(snapshot_app.asgi, scope("/", list(headers.items()), method)))


@pytest.mark.parametrize("ask", [ask_wsgi, ask_asgi])
class TestApp:
    def test_it_is_closed_unless_there_is_a_token(self, ask: Client) -> None:
        for header in ("Bearer ", "Bearer", "", f"Bearer {TOKEN}"):
            assert ask(authorization=header).status == 404

    @pytest.mark.parametrize(
        "header", ["", TOKEN, "Bearer", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer caf\xe9"]
    )
    def test_who_has_none_finds_nothing(self, ask: Client, header: str) -> None:
        everylayer.configure(snapshot_token=TOKEN)
        for method in ("GET", "POST"):
            answer = ask(method, authorization=header)
            assert (answer.status, answer.body) == (404, b"Not Found")
            assert ("cache-control", "no-store") in answer.headers

    def test_who_has_it_gets_text_or_json(self, ask: Client) -> None:
        everylayer.configure(snapshot_token=TOKEN)
        answer = ask(authorization=f"bearer {TOKEN}")
        assert answer.status == 200
        assert ("content-type", "text/plain; charset=utf-8") in answer.headers
        assert ("cache-control", "no-store") in answer.headers
        assert answer.body.startswith(b"process ")
        assert TOKEN.encode() not in answer.body
        answer = ask(authorization=f"Bearer {TOKEN}", accept="application/json")
        assert ("content-type", "application/json") in answer.headers
        assert json.loads(answer.body)["threads"][0]["stack"]

    @pytest.mark.parametrize("method", ["POST", "HEAD", "DELETE"])
    def test_it_is_only_read(self, ask: Client, method: str) -> None:
        everylayer.configure(snapshot_token=TOKEN)
        answer = ask(method, authorization=f"Bearer {TOKEN}")
        assert answer.status == 405
        assert ("allow", "GET") in answer.headers


def test_the_app_answers_what_else_a_server_asks() -> None:
    async def drive(kind: str, events: list[str]) -> list[Any]:
        async def receive() -> Any:
            return {"type": events.pop(0)}

        async def send(message: Any) -> None:
            sent.append(message["type"])

        sent: list[Any] = []
        await snapshot_app.asgi({"type": kind}, receive, send)
        return sent

    events = ["lifespan.startup", "lifespan.shutdown"]
    assert asyncio.run(drive("lifespan", [*events])) == [f"{event}.complete" for event in events]
    assert asyncio.run(drive("websocket", ["websocket.connect"])) == ["websocket.close"]
