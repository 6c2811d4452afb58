"""A body that fails with an `OSError`: Starlette takes that for the client's going away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from opentelemetry.instrumentation.starlette import StarletteInstrumentor
from opentelemetry.trace import StatusCode
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from contract.drive import scope
from contract.telemetry import Telemetry, error_events, server_span, session
from everylayer_starlette import EveryLayerMiddleware


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    with session() as found:
        yield found


async def coroutine() -> AsyncIterator[str]:
    yield "begun"
    raise ConnectionError("no database")


def plain() -> Iterator[str]:
    yield "begun"
    raise ConnectionError("no database")


class Own:
    """An iterator of its own."""

    def __aiter__(self) -> Own:
        return self

    async def __anext__(self) -> str:
        raise ConnectionError("no database")


def ask(body: Any, stock: bool, *, gone: bool = False) -> BaseException | None:
    """Return what leaves the app; the server refuses the body of a client that has gone."""

    async def view(request: Request) -> StreamingResponse:
        return StreamingResponse(body())

    async def receive() -> Any:
        await asyncio.sleep(60)

    async def send(message: Any) -> None:
        if gone and message["type"] == "http.response.body":
            raise BrokenPipeError("gone")

    app = Starlette(routes=[Route("/", view)])
    if stock:
        StarletteInstrumentor().instrument_app(app)
    app.add_middleware(EveryLayerMiddleware)
    request = {**scope(), "asgi": {"version": "3.0", "spec_version": "2.4"}}
    try:
        asyncio.run(app(request, receive, send))
    except Exception as exc:
        return exc
    return None


@pytest.mark.parametrize("stock", [False, True], ids=["alone", "stock"])
@pytest.mark.parametrize("body", [coroutine, plain, Own])
def test_what_the_body_raises_is_recorded(body: Any, stock: bool, telemetry: Telemetry) -> None:
    left = ask(body, stock)
    ((span, event),) = error_events(telemetry.spans)
    assert span is server_span(telemetry.spans)
    assert span.status.status_code is StatusCode.ERROR
    kind, text = ((event.attributes or {})[f"exception.{part}"] for part in ("type", "stacktrace"))
    # Older ones let it through as it is; before 0.42 it is in the group of the task that it ran in.
    if isinstance(left, (ClientDisconnect, ConnectionError)):
        assert kind == "ConnectionError"
    else:
        assert [type(member) for member in getattr(left, "exceptions", ())] == [ConnectionError]
        assert str(kind).endswith("ExceptionGroup")
    assert "ConnectionError: no database" in str(text)
    if isinstance(left, ClientDisconnect):
        kind, name = ((event.attributes or {})[f"everylayer.layer.{w}"] for w in ("kind", "name"))
        assert (kind, name) == ("view", "Own.__anext__" if body is Own else body.__name__)


@pytest.mark.parametrize("stock", [False, True], ids=["alone", "stock"])
@pytest.mark.parametrize("body", [coroutine, plain])
def test_a_client_that_has_gone_is_no_error(body: Any, stock: bool, telemetry: Telemetry) -> None:
    ask(body, stock, gone=True)
    if isinstance(ask(body, stock, gone=True), ClientDisconnect):
        assert not error_events(telemetry.spans)
