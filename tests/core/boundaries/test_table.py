"""Each row of the table in docs/boundaries.md: what Python does by itself, and what everylayer."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import re
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import anyio
import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind

import everylayer
from contract.collect import collect
from contract.telemetry import LATE_SUFFIX, Telemetry, error_events, trace_ids

HERE = Path(__file__).parent
TESTS = HERE.parents[1]
DOCUMENT = TESTS.parent / "docs" / "boundaries.md"
seen: contextvars.ContextVar[str] = contextvars.ContextVar("seen", default="nothing")
groups = pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.TaskGroup is of 3.11")


class Lost(Exception):
    pass


class Request:
    """A request, and what its work sees and raises."""

    def __init__(self, telemetry: Telemetry) -> None:
        self.telemetry = telemetry
        self.saw: list[str] = []

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        tracer = self.telemetry.provider.get_tracer("app")
        token = seen.set("the request's")
        with tracer.start_as_current_span("GET /", kind=SpanKind.SERVER):
            yield
        seen.reset(token)

    def look(self) -> None:
        span = getattr(trace.get_current_span(), "name", None)
        self.saw.append(seen.get() if span == "GET /" or seen.get() == "nothing" else "half")

    def lose(self, *ignored: object) -> None:
        self.look()
        raise Lost("x")

    async def lose_soon(self) -> None:
        await asyncio.sleep(0)
        self.lose()

    def recorded(self) -> list[str]:
        """Return what was recorded since, each by the name of its span."""
        found = [span.name for span, _ in error_events(self.telemetry.spans)]
        assert len(trace_ids(self.telemetry.spans)) == 1
        self.telemetry.clear()
        return found

    def late(self) -> list[str]:
        names = self.recorded()
        assert all(name.endswith(LATE_SUFFIX) for name in names)
        return [name.removesuffix(LATE_SUFFIX).rpartition(".")[2] for name in names]


@pytest.fixture
def request_(telemetry: Telemetry) -> Request:
    return Request(telemetry)


@pytest.fixture
def hooked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Hear what `threading.excepthook` is told."""
    heard: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: heard.append(args.exc_type))
    return heard


PARTS = ("Threads and tasks", "Processes", "Services", "Tenants")


def rows(*parts: str) -> list[str]:
    """Return the tests that the tables under these headings name, one a row."""
    text = DOCUMENT.read_text(encoding="utf-8")
    found: list[str] = []
    for part in parts:
        section = text.partition(f"\n## {part}\n")[2].partition("\n## ")[0]
        lines = section.partition("|---|---|---|---|\n")[2].partition("\n\n")[0].splitlines()
        # A pipe within a cell would shift the others.
        assert {line.count("|") for line in lines} == {5}
        found += [f"test_{line.split('|')[4].strip(' `')}" for line in lines]
    return found


def test_each_row_has_its_test_and_each_test_its_row() -> None:
    folders = [HERE, TESTS / "boundaries", TESTS / "envoy", TESTS / "prefork"]
    files = sorted({file for folder in folders for file in folder.rglob("test_*.py")})
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    named = rows(*PARTS)
    assert len(named) == len(set(named)) > 50
    assert [row for row in named if f"def {row}(" not in text] == []
    here = Path(__file__).read_text(encoding="utf-8")
    own = re.findall(r"^def (test_\w+)\(", here, re.MULTILINE)
    assert sorted({*own} - {*rows(PARTS[0])}) == [
        "test_each_row_has_its_test_and_each_test_its_row"
    ]


def run_thread(target: Callable[[], Any]) -> None:
    thread = threading.Thread(target=target)
    thread.start()
    thread.join()


def run_loop(request: Request, main: Callable[[], Any], **handler: Any) -> list[Any]:
    """Serve a request in a loop that has an exception handler of its own; return what it heard."""
    heard: list[Any] = []

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, about: heard.append(type(about["exception"])))
        with request():
            await main()
            collect()
            await asyncio.sleep(0.01)

    asyncio.run(serve())
    return heard


def test_threading_thread(request_: Request, hooked: list[Any]) -> None:
    with request_():
        run_thread(request_.lose)
    assert request_.saw == ["nothing"]
    assert request_.recorded() == []
    everylayer.configure(detached="record")
    with request_():
        run_thread(request_.lose)
    assert request_.saw == ["nothing"] * 2
    assert request_.late() == ["lose"]
    assert hooked == [Lost, Lost]


def test_thread_of_propagate(request_: Request, hooked: list[Any]) -> None:
    with request_():
        run_thread(everylayer.propagate(request_.lose))
    assert request_.saw == ["the request's"]
    assert request_.recorded() == ["GET /"]
    assert hooked == [Lost]


def test_threadpoolexecutor_submit(request_: Request) -> None:
    with futures.ThreadPoolExecutor(1) as pool:
        with request_():
            futures.wait([pool.submit(request_.lose)])
        assert request_.recorded() == []
        everylayer.configure(detached="record")
        with request_():
            future = pool.submit(request_.lose)
            assert isinstance(future.exception(), Lost)
            del future
            futures.wait([pool.submit(request_.lose)])
            collect()
    assert request_.saw == ["nothing"] * 3
    assert request_.late() == ["lose"]


def test_everylayer_threadpoolexecutor_submit(request_: Request) -> None:
    with everylayer.ThreadPoolExecutor(1) as pool, request_():
        futures.wait([pool.submit(request_.lose)])
    assert request_.saw == ["the request's"]
    assert request_.recorded() == ["GET /"]


def test_everylayer_threadpoolexecutor_map(request_: Request) -> None:
    with everylayer.ThreadPoolExecutor(2) as pool, request_():
        pool.map(request_.lose, range(3))
        pool.shutdown()
    assert request_.saw == ["the request's"] * 3
    assert request_.recorded() == ["GET /"] * 3


def test_everylayer_threadpoolexecutor_initializer(
    request_: Request, caplog: pytest.LogCaptureFixture
) -> None:
    def initialize() -> None:
        raise Lost("no database")

    with everylayer.ThreadPoolExecutor(1, initializer=initialize) as pool, request_():
        broken = pool.submit(request_.look).exception()
    assert type(broken).__name__ == "BrokenThreadPool"
    assert request_.recorded() == ["GET /"]
    assert "Exception in initializer" in caplog.text


def test_loop_run_in_executor(request_: Request) -> None:
    async def main(pool: Any = None) -> None:
        future = asyncio.get_running_loop().run_in_executor(pool, request_.lose)
        with contextlib.suppress(Lost):
            await future

    run_loop(request_, main)
    assert request_.recorded() == []
    everylayer.configure(detached="record")
    run_loop(request_, main)
    assert request_.saw == ["nothing"] * 2
    assert request_.recorded() == ["GET /"]
    with everylayer.ThreadPoolExecutor(1) as pool:
        run_loop(request_, lambda: main(pool))
    assert request_.saw[2:] == ["the request's"]
    assert request_.recorded() == ["GET /"]


def test_asyncio_to_thread(request_: Request) -> None:
    async def main() -> None:
        with pytest.raises(Lost):
            await asyncio.to_thread(request_.lose)

    run_loop(request_, main)
    assert request_.saw == ["the request's"]
    assert request_.recorded() == []


def test_asyncio_create_task(request_: Request) -> None:
    async def main() -> None:
        await asyncio.wait([asyncio.create_task(request_.lose_soon())])

    assert run_loop(request_, main) == [Lost]
    assert request_.recorded() == []
    everylayer.configure(detached="record")
    assert run_loop(request_, main) == [Lost]
    assert request_.saw == ["the request's"] * 2
    assert request_.late() == ["lose_soon"]


def test_everylayer_create_task(request_: Request) -> None:
    async def main() -> None:
        await asyncio.wait([everylayer.create_task(request_.lose_soon(), name="mine")])

    assert run_loop(request_, main) == [Lost]
    assert request_.saw == ["the request's"]
    assert request_.recorded() == ["GET /"]


def test_asyncio_gather(request_: Request) -> None:
    async def other() -> None:
        await asyncio.sleep(0)
        raise KeyError("other")

    async def ours() -> None:
        tasks = [everylayer.create_task(work) for work in (request_.lose_soon(), other())]
        with contextlib.suppress(Lost):
            await asyncio.gather(*tasks)
        await asyncio.sleep(0)

    async def plain() -> None:
        gathering = asyncio.gather(request_.lose_soon(), other())
        await asyncio.sleep(0.01)
        del gathering

    assert run_loop(request_, ours) == []
    assert request_.recorded() == ["GET /"] * 2
    everylayer.configure(detached="record")
    assert run_loop(request_, plain) == [Lost]
    assert request_.late() == ["lose_soon"]


async def swallowing(group: Any, start: Callable[[Any], Any]) -> None:
    try:
        async with group as entered:
            start(entered)
    except BaseExceptionGroup:
        return


@groups
def test_asyncio_taskgroup(request_: Request) -> None:
    async def main() -> None:
        group = asyncio.TaskGroup()  # type: ignore[attr-defined, unused-ignore]
        await swallowing(group, lambda group: group.create_task(request_.lose_soon()))

    run_loop(request_, main)
    assert request_.saw == ["the request's"]
    assert request_.recorded() == []


@groups
def test_everylayer_taskgroup(request_: Request) -> None:
    async def main() -> None:
        group = everylayer.TaskGroup()
        await swallowing(group, lambda group: group.create_task(request_.lose_soon()))

    run_loop(request_, main)
    assert request_.saw == ["the request's"]
    assert request_.recorded() == ["GET /"]


def test_anyio_create_task_group(request_: Request) -> None:
    async def main(guard: bool = False) -> None:
        try:
            with everylayer.guard() if guard else contextlib.nullcontext():
                async with anyio.create_task_group() as group:
                    group.start_soon(request_.lose_soon)
        except Exception as exc:
            left.append(type(exc).__name__)

    left: list[str] = []

    run_loop(request_, main)
    assert request_.saw == ["the request's"]
    assert request_.recorded() == []
    run_loop(request_, lambda: main(guard=True))
    assert left == ["ExceptionGroup"] * 2
    assert request_.recorded() == ["GET /"]


def test_loop_call_soon(request_: Request) -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_soon(request_.lose)
        await asyncio.sleep(0.01)

    assert run_loop(request_, main) == [Lost]
    assert request_.recorded() == []
    everylayer.configure(detached="record")
    assert run_loop(request_, main) == [Lost]
    assert request_.saw == ["the request's"] * 2
    assert request_.late() == ["lose"]


def test_everylayer_guard(request_: Request) -> None:
    @everylayer.guard(layer="billing")
    def guarded() -> None:
        request_.lose()

    with request_(), contextlib.suppress(Lost):
        guarded()
    assert request_.recorded() == ["GET /"]


def test_propagate_of_a_generator(request_: Request) -> None:
    def items() -> Iterator[str]:
        request_.look()
        yield "one"
        request_.lose()

    with request_():
        plain, ours = items(), everylayer.propagate(items)()
    for each in (plain, ours):
        assert contextvars.Context().run(next, each) == "one"
        with pytest.raises(Lost):
            contextvars.Context().run(next, each)
    assert request_.saw == ["nothing"] * 2 + ["the request's"] * 2
    assert request_.recorded() == ["test_propagate_of_a_generator.items (late)"]
