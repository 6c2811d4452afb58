"""A request that is stuck in a real framework is found under its server span's trace."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.starlette import StarletteInstrumentor
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import everylayer
from contract.drive import call_asgi, environ, run_wsgi, scope
from contract.telemetry import Telemetry
from everylayer.running.snapshot import Snapshot
from everylayer_flask import EveryLayer
from everylayer_starlette import EveryLayerMiddleware

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
HEADERS = [("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01")]

SETUPS = ["stock", "everylayer", "both"]


class Gate:
    """Holds a request until a snapshot was taken of it."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.go = threading.Event()

    def stuck_here(self) -> None:
        self.arrived.set()
        assert self.go.wait(20)

    async def waiting_here(self) -> None:
        self.arrived.set()
        while not self.go.is_set():  # noqa: ASYNC110 - another thread lets it go
            await asyncio.sleep(0.005)


@contextlib.contextmanager
def served(serve: Callable[[], Any], gate: Gate) -> Iterator[Snapshot]:
    """Serve one request in a thread, and take a snapshot of it while it is stuck."""
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(serve()), daemon=True)
    thread.start()
    try:
        assert gate.arrived.wait(20)
        yield everylayer.snapshot()
    finally:
        gate.go.set()
        thread.join(20)
    assert answers[0].status == 200


@pytest.mark.parametrize("setup", SETUPS)
def test_flask(telemetry: Telemetry, setup: str) -> None:
    gate = Gate()
    app = Flask("shop")

    @app.get("/")
    def view() -> str:
        gate.stuck_here()
        return "ok"

    if setup != "everylayer":
        FlaskInstrumentor().instrument_app(app)  # type: ignore[no-untyped-call]
    if setup != "stock":
        EveryLayer(app)
    with served(lambda: run_wsgi(app, environ("/", HEADERS)), gate) as taken:
        (found,) = [thread for thread in taken.threads if "in stuck_here" in "".join(thread.stack)]
    assert found.trace is not None
    assert found.trace.trace_id == TRACE


def shop(setup: str, endpoint: Any, *, own_task: bool = False) -> Starlette:
    app = Starlette(routes=[Route("/", endpoint)])
    if own_task:

        async def dispatch(request: Any, call_next: Any) -> Any:
            return await call_next(request)

        app.add_middleware(BaseHTTPMiddleware, dispatch=dispatch)
    if setup != "everylayer":
        StarletteInstrumentor.instrument_app(app)
    if setup != "stock":
        app.add_middleware(EveryLayerMiddleware)
    return app


def serve_asgi(app: Any) -> Callable[[], Any]:
    return lambda: asyncio.run(call_asgi(app, scope("/", HEADERS)))


@pytest.mark.parametrize("setup", SETUPS)
def test_an_endpoint_in_starlettes_pool_of_threads(telemetry: Telemetry, setup: str) -> None:
    gate = Gate()

    def endpoint(request: Any) -> PlainTextResponse:
        gate.stuck_here()
        return PlainTextResponse("ok")

    with served(serve_asgi(shop(setup, endpoint)), gate) as taken:
        (found,) = [thread for thread in taken.threads if "in stuck_here" in "".join(thread.stack)]
        tasks = [task for task in taken.tasks if task.trace is not None]
    assert found.trace is not None
    assert found.trace.trace_id == TRACE
    assert TRACE in {task.trace.trace_id for task in tasks if task.trace is not None}


@pytest.mark.parametrize("own_task", [False, True], ids=["one-task", "a-task-of-its-own"])
@pytest.mark.parametrize("setup", SETUPS)
def test_an_endpoint_that_awaits(telemetry: Telemetry, setup: str, own_task: bool) -> None:
    gate = Gate()

    async def endpoint(request: Any) -> PlainTextResponse:
        await gate.waiting_here()
        return PlainTextResponse("ok")

    with served(serve_asgi(shop(setup, endpoint, own_task=own_task)), gate) as taken:
        found = [task for task in taken.tasks if "in waiting_here" in "".join(task.stack)]
        running = [thread for thread in taken.threads if "in waiting_here" in "".join(thread.stack)]
    traces = [each.trace for each in found] + [each.trace for each in running]
    assert traces
    assert {trace and trace.trace_id for trace in traces} == {TRACE}
