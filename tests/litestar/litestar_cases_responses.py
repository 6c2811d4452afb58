"""Cases about responses: streams, background work, websockets, clients that leave."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

from litestar import Response, asgi, post, websocket
from litestar.background_tasks import BackgroundTask
from litestar.exceptions import InternalServerException, WebSocketException
from litestar.response import Stream

from asgi_drive import Request
from contract.faults import PLAIN, Fault, fault_site
from litestar_kit import AFTER_START, ALONE, SETUPS, SILENT, Kit, case, escaped, handled, late
from litestar_layers import Calm, Raiser

if sys.version_info < (3, 11):
    # anyio's groups are those of the backport, which the standard library cannot render.
    from exceptiongroup import ExceptionGroup

GROUP = Fault(
    "group",
    lambda: ValueError("plain fault"),
    ExceptionGroup,
    "unhandled errors in a TaskGroup (1 sub-exception)",
    shows=("ValueError", "plain fault") if sys.version_info >= (3, 11) else (),
)
SOCKET = Request(kind="websocket", texts=("hello",))
REFUSED = Fault(
    "refused", lambda: WebSocketException(detail="no", code=4401), WebSocketException, "no"
)


async def task() -> None:
    fault_site(PLAIN)


async def with_a_task(self: Any) -> Response[str]:
    return Response("fine", background=BackgroundTask(task))


@case("background", late("task", "app", server_status="UNSET"))
def background(kit: Kit) -> Any:
    return kit.app(with_a_task)


@case("background_within_layers", late("task", "app", server_status="UNSET"))
def background_within_layers(kit: Kit) -> Any:
    return kit.app(with_a_task, {"app": [Calm()], "handler": [Calm()]})


async def chunks() -> AsyncGenerator[bytes, None]:
    yield b"one"
    yield b"two"


async def streaming(self: Any) -> Stream:
    return Stream(chunks())


@case("stream_whose_client_leaves", SILENT, request=Request(leaves_after=1, spec="2.3"))
def stream_whose_client_leaves(kit: Kit) -> Any:
    return kit.app(streaming, {"app": [Calm()]})


@case("stream_that_is_cancelled", SILENT, request=Request(leaves_after=1, cancel=True, spec="2.3"))
def stream_that_is_cancelled(kit: Kit) -> Any:
    return kit.app(streaming)


async def talking(self: Any, socket: Any) -> None:
    await socket.accept()
    await socket.send_text(await socket.receive_text())
    await socket.receive_text()


async def failing_at_once(self: Any, socket: Any) -> None:
    fault_site(PLAIN)


async def failing_later(self: Any, socket: Any) -> None:
    await socket.accept()
    await socket.receive_text()
    fault_site(PLAIN)


async def refusing_socket(self: Any, socket: Any) -> None:
    fault_site(REFUSED)


@case("websocket_whose_client_leaves", SILENT, request=SOCKET)
def websocket_whose_client_leaves(kit: Kit) -> Any:
    return kit.app(talking, {"app": [Calm()]}, route=websocket)


@case("websocket_fails_at_once", escaped("Pages.failing_at_once", "view"), request=SOCKET)
def websocket_fails_at_once(kit: Kit) -> Any:
    return kit.app(failing_at_once, route=websocket)


@case("websocket_fails_later", escaped("Pages.failing_later", "view"), request=SOCKET)
def websocket_fails_later(kit: Kit) -> Any:
    return kit.app(failing_later, {"app": [Calm()]}, route=websocket)


@case("websocket_layer_fails", escaped("Raiser"), request=SOCKET)
def websocket_layer_fails(kit: Kit) -> Any:
    return kit.app(talking, {"controller": [Raiser()]}, route=websocket)


@case("websocket_is_refused", SILENT, fault=REFUSED, request=SOCKET)
def websocket_is_refused(kit: Kit) -> Any:
    return kit.app(refusing_socket, route=websocket)


@case("websocket_layer_refuses", handled("Raiser"), fault=REFUSED, request=SOCKET)
def websocket_layer_refuses(kit: Kit) -> Any:
    return kit.app(talking, {"router": [Raiser(fault=REFUSED)]}, route=websocket)


async def starting() -> None:
    fault_site(PLAIN)


async def mounted(self: Any, scope: Any, receive: Any, send: Any) -> None:
    fault_site(PLAIN)


@case("mounted_app", escaped("Pages.mounted", "view"))
def mounted_app(kit: Kit) -> Any:
    return kit.app(mounted, {"app": [Calm()]}, route=asgi)


async def reading(self: Any, request: Any) -> str:
    return str(await request.body())


LEAVES_EARLY = Request(method="POST", body=b"{", half=True, leaves_after=0)


# Litestar answers 500, to nobody, and stock takes its span's status from that.
ANSWERED = replace(SILENT, status="ERROR")
STOCK = tuple(setup for setup in SETUPS if setup != ALONE)


@case("client_leaves_while_its_body_is_read", SILENT, request=LEAVES_EARLY, setups=(ALONE,))
@case("client_leaves_beside_stock", ANSWERED, request=LEAVES_EARLY, setups=STOCK)
def client_leaves_while_its_body_is_read(kit: Kit) -> Any:
    return kit.app(reading, {"app": [Calm()], "handler": [Calm()]}, route=post)


async def given_data(self: Any, data: dict[str, int]) -> str:
    return str(data)


@case("client_leaves_while_its_body_is_decoded", SILENT, request=LEAVES_EARLY, setups=(ALONE,))
def client_leaves_while_its_body_is_decoded(kit: Kit) -> Any:
    return kit.app(given_data, {"router": [Calm()]}, route=post)


# Litestar's own words, but in the app's own code.
SAYS_SO = Fault(
    "says_so",
    lambda: InternalServerException("client disconnected prematurely"),
    InternalServerException,
    "500: client disconnected prematurely",
)


async def saying_so(self: Any) -> str:
    fault_site(SAYS_SO)


@case("app_says_that_its_client_has_left", escaped("Pages.saying_so", "view"), fault=SAYS_SO)
def app_says_that_its_client_has_left(kit: Kit) -> Any:
    return kit.app(saying_so, {"app": [Calm()]})


async def broken_chunks() -> AsyncGenerator[bytes, None]:
    yield b"one"
    fault_site(PLAIN)


async def streaming_until_it_breaks(self: Any) -> Stream:
    return Stream(broken_chunks())


# Litestar streams in a task group.
@case("stream_breaks", escaped("broken_chunks", "app", also=(AFTER_START,)), fault=GROUP)
def stream_breaks(kit: Kit) -> Any:
    return kit.app(streaming_until_it_breaks, {"app": [Calm()]})
