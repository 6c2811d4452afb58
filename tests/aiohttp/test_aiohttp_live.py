"""Clients that go away, sockets that stay open, responses that are on their way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
import pytest
from aiohttp import web

import everylayer
import everylayer_aiohttp
from aiohttp_cases import PASSING, app_of
from aiohttp_kit import Handler, Kit, ask, served, settled
from contract.collect import collect
from contract.expect import ESCAPED, NOTHING, check
from contract.faults import PLAIN, Fault, fault_site
from contract.telemetry import Telemetry, late_spans, server_span, tree

ARMS = pytest.mark.parametrize("stock", [False, True], ids=["alone", "stock"])
Begun = asyncio.Event


async def leave(port: int, begun: Begun) -> None:
    """Ask, and go away as soon as the handler has begun."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
    await begun.wait()
    writer.transport.abort()


def drive(
    stock: bool,
    make: Callable[[Begun], Handler],
    act: Callable[[int, Begun], Coroutine[Any, Any, Any]],
    telemetry: Telemetry,
    **options: Any,
) -> None:
    """Serve a handler until its span has ended; `act` is the client."""
    kit = Kit(stock=stock, when="last")

    async def main() -> None:
        begun = Begun()
        app = kit.app(PASSING)
        app.router.add_route("*", "/", make(begun))
        async with served(kit.complete(app), **options) as port:
            await act(port, begun)
            await settled(telemetry)

    with kit.active():
        asyncio.run(main())


@ARMS
def test_a_client_that_goes_away_cancels_its_handler(stock: bool, telemetry: Telemetry) -> None:
    cancelled = []

    def make(begun: Begun) -> Handler:
        async def waiting(request: web.Request) -> web.StreamResponse:
            begun.set()
            try:
                await asyncio.sleep(5)
            except asyncio.CancelledError as exc:
                cancelled.append(exc)
                raise
            raise AssertionError

        return waiting

    drive(stock, make, leave, telemetry, handler_cancellation=True)
    assert cancelled
    check(telemetry.spans, PLAIN, NOTHING)


@ARMS
@pytest.mark.parametrize("does", ["reads", "writes"])
def test_what_the_servers_streams_say_of_a_client_that_left_is_no_error(
    does: str, stock: bool, telemetry: Telemetry
) -> None:
    seen = []

    def make(begun: Begun) -> Handler:
        async def streaming(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            begun.set()
            try:
                if does == "reads":
                    await request.read()
                await response.prepare(request)
                for _ in range(1000):
                    await response.write(b"x" * 1000)
                    await asyncio.sleep(0.001)
            except ConnectionError as exc:
                seen.append(exc)
                raise
            raise AssertionError

        return streaming

    drive(stock, make, leave, telemetry)
    assert seen
    check(telemetry.spans, PLAIN, NOTHING)


class Lost(ConnectionError):
    """What a database says."""


@ARMS
def test_an_error_of_the_app_counts_whether_or_not_the_client_waits(
    stock: bool, telemetry: Telemetry
) -> None:
    fault = Fault("lost", lambda: Lost("no database"), Lost, "no database")

    def make(begun: Begun) -> Handler:
        async def asking(request: web.Request) -> web.StreamResponse:
            begun.set()
            try:
                await request.read()
            except ConnectionError:
                assert request.transport is None
            fault_site(fault)

        return asking

    drive(stock, make, leave, telemetry)
    check(telemetry.spans, fault, ESCAPED)


async def talk(port: int, begun: Begun) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{port}/") as socket,
    ):
        await socket.send_str("fail")
        await socket.receive()


@ARMS
def test_a_websocket_that_fails(stock: bool, telemetry: Telemetry) -> None:
    def make(begun: Begun) -> Handler:
        async def chat(request: web.Request) -> web.StreamResponse:
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            async for _ in socket:
                fault_site(PLAIN)
            return socket

        return chat

    drive(stock, make, talk, telemetry)
    check(telemetry.spans, PLAIN, ESCAPED)


@ARMS
def test_a_websocket_that_is_closed_is_no_error(stock: bool, telemetry: Telemetry) -> None:
    def make(begun: Begun) -> Handler:
        async def chat(request: web.Request) -> web.StreamResponse:
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            await socket.receive()
            await socket.close()
            return socket

        return chat

    drive(stock, make, talk, telemetry)
    check(telemetry.spans, PLAIN, NOTHING)


@ARMS
def test_a_task_that_nobody_awaits(stock: bool, telemetry: Telemetry) -> None:
    """With `detached="record"`, as for any other framework."""

    async def work() -> None:
        fault_site(PLAIN)

    async def view(request: web.Request) -> web.StreamResponse:
        asyncio.get_running_loop().create_task(work())
        return web.Response(text="later")

    kit = Kit(stock=stock, when="last")

    async def main() -> None:
        app = kit.app()
        app.router.add_get("/", view)
        everylayer_aiohttp.setup(app, detached="record")
        async with served(app) as port:
            await ask(port)

    try:
        with kit.active():
            asyncio.run(main())
        collect()
    finally:
        everylayer.configure(detached="off")
    (late,) = late_spans(telemetry.spans)
    assert late.parent is not None
    assert late.parent.span_id == server_span(telemetry.spans).context.span_id


@ARMS
def test_two_requests_at_once_keep_their_errors_apart(stock: bool, telemetry: Telemetry) -> None:
    async def view(request: web.Request) -> web.StreamResponse:
        number = int(request.query["number"])
        await asyncio.sleep(0.001 * (5 - number))
        raise ValueError(f"number {number}")

    kit = Kit(stock=stock)

    async def main() -> None:
        async with served(app_of(kit, view)) as port:
            await asyncio.gather(*(ask(port, f"/?number={n}") for n in range(5)))

    with kit.active():
        asyncio.run(main())
    assert len(telemetry.spans) == 5
    for span in telemetry.spans:
        (event,) = span.events
        number = str((event.attributes or {})["exception.message"]).removeprefix("number ")
        target = str((span.attributes or {}).get("http.target", "")) + str(
            (span.attributes or {}).get("http.url", "")
        )
        assert f"number={number}" in target, tree([span])
