"""Cases about what is inside the middleware: views, handlers, routes, mounts, streams, sockets."""

from __future__ import annotations

import sys
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.background import BackgroundTask, BackgroundTasks
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.exceptions import HTTPException, WebSocketException
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Host, Mount, Route, Router, WebSocketRoute

from asgi_cases import FAILED_SILENTLY, SILENT, case, escaped, handled, late
from asgi_drive import Request
from asgi_kit import Kit
from asgi_layers import (
    AnswersLater,
    Calm,
    CalmDispatching,
    Dispatching,
    Inner,
    Outer,
    Raiser,
    closure_layer,
)
from cases_layers import CALM_ROUTES, FAILING_ROUTES, GROUP, UNAUTHORIZED, calm_view, failing_view
from contract.actions import SWALLOW
from contract.faults import PLAIN, Fault, Unclassified, fault_site


def _http(status: int) -> Fault:
    return Fault(
        f"http_{status}",
        lambda: HTTPException(status, "said so"),
        HTTPException,
        f"{status}: said so",
    )


def _raising(fault: Fault) -> Any:
    async def view(request: Any) -> Any:
        fault_site(fault)

    return view


def _view(kit: Kit, view: Any, **kwargs: Any) -> Any:
    return kit.starlette([Outer, Calm, Inner], routes=[Route("/", view)], **kwargs)


def sync_view(request: Any) -> Any:
    fault_site(PLAIN)


class Endpoint(HTTPEndpoint):
    async def get(self, request: Any) -> Any:
        fault_site(PLAIN)


class SyncEndpoint(HTTPEndpoint):
    def get(self, request: Any) -> Any:
        fault_site(PLAIN)


@case("async_view", expected=escaped("failing_view", "view"))
def async_view(kit: Kit) -> Any:
    return _view(kit, failing_view)


@case("sync_view", expected=escaped("sync_view", "view"))
def sync_view_case(kit: Kit) -> Any:
    return _view(kit, sync_view)


@case("endpoint", expected=escaped("Endpoint.get", "view"))
def endpoint(kit: Kit) -> Any:
    return _view(kit, Endpoint)


@case("sync_endpoint", expected=escaped("SyncEndpoint.get", "view"))
def sync_endpoint(kit: Kit) -> Any:
    return _view(kit, SyncEndpoint)


@case("view_under_two_dispatching_layers", expected=escaped("failing_view", "view"))
def view_under_two_dispatching_layers(kit: Kit) -> Any:
    return kit.starlette([CalmDispatching, Calm, CalmDispatching], routes=FAILING_ROUTES)


async def grouping_view(request: Any) -> Any:
    async def fail() -> None:
        fault_site(PLAIN)

    async with anyio.create_task_group() as group:
        group.start_soon(fail)


@case("view_with_a_task_group", fault=GROUP, expected=escaped("grouping_view", "view"))
def view_with_a_task_group(kit: Kit) -> Any:
    return _view(kit, grouping_view)


# Stock's own frame is in the page where it stands among the layers; before 3.11 ours are, too.
OURS = () if sys.version_info >= (3, 11) else ("bare", "around")


@case(
    "debug_page",
    expected=escaped("failing_view", "view"),
    skip=("instrument_app_first", "instrument_app_last", "instrument", "starlette_own", *OURS),
)
def debug_page(kit: Kit) -> Any:
    return _view(kit, failing_view, debug=True)


# Exception handlers


def _answering(status: int) -> Any:
    async def handler(request: Any, exc: Exception) -> Any:
        return PlainTextResponse(f"handled {status}", status)

    return handler


def sync_handler(request: Any, exc: Exception) -> Any:
    return PlainTextResponse("handled", 404)


def broken_handler(request: Any, exc: Exception) -> Any:
    raise LookupError("handler failed")


async def broken_async_handler(request: Any, exc: Exception) -> Any:
    raise LookupError("handler failed")


VIEW = "failing_view"


@case("handler_200", expected=handled(VIEW, "view"))
def handler_200(kit: Kit) -> Any:
    return _view(kit, failing_view, exception_handlers={ValueError: _answering(200)})


@case("handler_404", expected=handled(VIEW, "view"))
def handler_404(kit: Kit) -> Any:
    return _view(kit, failing_view, exception_handlers={ValueError: sync_handler})


@case("handler_503", expected=escaped(VIEW, "view"))
def handler_503(kit: Kit) -> Any:
    return _view(kit, failing_view, exception_handlers={ValueError: _answering(503)})


@case("handler_across_tasks", expected=handled(VIEW, "view"))
def handler_across_tasks(kit: Kit) -> Any:
    return kit.starlette(
        [Outer, CalmDispatching],
        routes=FAILING_ROUTES,
        exception_handlers={ValueError: _answering(200)},
    )


@case("handler_of_a_base_class", expected=handled("sync_view", "view"))
def handler_of_a_base_class(kit: Kit) -> Any:
    return _view(
        kit,
        sync_view,
        exception_handlers={ArithmeticError: sync_handler, ValueError: _answering(400)},
    )


@case("broken_handler", expected=escaped(VIEW, "view", also=("LookupError",)))
def broken_handler_case(kit: Kit) -> Any:
    return _view(kit, failing_view, exception_handlers={ValueError: broken_handler})


@case("broken_async_handler", expected=escaped(VIEW, "view", also=("LookupError",)))
def broken_async_handler_case(kit: Kit) -> Any:
    return _view(kit, failing_view, exception_handlers={ValueError: broken_async_handler})


@case("handler_500", expected=escaped(VIEW, "view"))
def handler_500(kit: Kit) -> Any:
    return _view(kit, failing_view, exception_handlers={500: _answering(500)})


@case("handler_of_everything", expected=escaped(VIEW, "view"))
def handler_of_everything(kit: Kit) -> Any:
    return _view(kit, failing_view, exception_handlers={Exception: _answering(500)})


# A span that ends with the response cannot wait for the error to be raised once more.
@case("handler_500_answers_200", expected=escaped(VIEW, "view"), skip=("around",))
def handler_500_answers_200(kit: Kit) -> Any:
    return _view(kit, failing_view, exception_handlers={500: _answering(200)})


@case("broken_handler_500", expected=escaped(VIEW, "view", also=("LookupError",)))
def broken_handler_500(kit: Kit) -> Any:
    return _view(kit, failing_view, exception_handlers={500: broken_handler})


@case("broken_handler_500_async", expected=escaped(VIEW, "view", also=("LookupError",)))
def broken_handler_500_async(kit: Kit) -> Any:
    return _view(kit, failing_view, exception_handlers={500: broken_async_handler})


@case("broken_handler_500_for_a_layer", expected=escaped("Raiser", also=("LookupError",)))
def broken_handler_500_for_a_layer(kit: Kit) -> Any:
    return kit.starlette(
        [Outer, Raiser, Inner], routes=CALM_ROUTES, exception_handlers={500: broken_handler}
    )


@case("status_handler", fault=_http(503), expected=escaped("_raising.view", "view"))
def status_handler(kit: Kit) -> Any:
    return _view(kit, _raising(_http(503)), exception_handlers={503: _answering(503)})


@case("status_handler_404", fault=_http(404), expected=SILENT)
def status_handler_404(kit: Kit) -> Any:
    return _view(kit, _raising(_http(404)), exception_handlers={404: _answering(404)})


@case("status_handler_makes_it_500", fault=_http(404), expected=escaped("_raising.view", "view"))
def status_handler_makes_it_500(kit: Kit) -> Any:
    return _view(kit, _raising(_http(404)), exception_handlers={404: _answering(500)})


@case("http_404_from_a_view", fault=_http(404), expected=SILENT)
def http_404_from_a_view(kit: Kit) -> Any:
    return _view(kit, _raising(_http(404)))


@case("http_304_from_a_view", fault=_http(304), expected=SILENT)
def http_304_from_a_view(kit: Kit) -> Any:
    return _view(kit, _raising(_http(304)))


@case("http_503_from_a_view", fault=_http(503), expected=escaped("_raising.view", "view"))
def http_503_from_a_view(kit: Kit) -> Any:
    return _view(kit, _raising(_http(503)))


@case("redirected_slash", expected=SILENT, request=Request("/calm/"))
def redirected_slash(kit: Kit) -> Any:
    return kit.starlette([Outer, Calm], routes=[Route("/calm", calm_view)])


@case("custom_not_found", expected=SILENT, request=Request("/nowhere"))
def custom_not_found(kit: Kit) -> Any:
    return _view(kit, calm_view, exception_handlers={404: sync_handler})


# Routes, routers and mounts


@case("mount_routes", expected=escaped(VIEW, "view"), request=Request("/in/"))
def mount_routes(kit: Kit) -> Any:
    return kit.starlette([Outer, Calm], routes=[Mount("/in", routes=FAILING_ROUTES)])


@case("host_route", expected=escaped(VIEW, "view"))
def host_route(kit: Kit) -> Any:
    return kit.starlette([Outer], routes=[Host("127.0.0.1", Router(FAILING_ROUTES))])


@case(
    "mounted_function", expected=escaped("mounted_function.mounted", "app"), request=Request("/in/")
)
def mounted_function(kit: Kit) -> Any:
    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        fault_site(PLAIN)

    return kit.starlette([Outer, Calm], routes=[Mount("/in", app=mounted)])


def _route_middleware(*layers: Any, view: Any = calm_view) -> Any:
    made = [
        Middleware(layer[0], **layer[1]) if isinstance(layer, tuple) else Middleware(layer)
        for layer in layers
    ]
    return Route("/", view, middleware=made)


@case("route_layer", expected=escaped("Raiser"))
def route_layer(kit: Kit) -> Any:
    return kit.starlette([Outer], routes=[_route_middleware(Calm, Raiser)])


@case("route_layer_refuses", fault=UNAUTHORIZED, expected=handled("Raiser"))
def route_layer_refuses(kit: Kit) -> Any:
    return kit.starlette([Outer], routes=[_route_middleware((Raiser, {"fault": UNAUTHORIZED}))])


@case("route_closure_refuses", fault=UNAUTHORIZED, expected=handled("closure_layer.layer"))
def route_closure_refuses(kit: Kit) -> Any:
    return kit.starlette(
        [Outer], routes=[_route_middleware((closure_layer, {"fault": UNAUTHORIZED}))]
    )


@case("route_layer_answers_later", expected=escaped("Raiser"))
def route_layer_answers_later(kit: Kit) -> Any:
    return kit.starlette([Outer], routes=[_route_middleware(AnswersLater, Calm, Raiser)])


@case("route_layer_answers_for_the_view", expected=escaped(VIEW, "view"))
def route_layer_answers_for_the_view(kit: Kit) -> Any:
    return kit.starlette([Outer], routes=[_route_middleware(AnswersLater, view=failing_view)])


@case("route_dispatching_answers", expected=handled("Raiser"))
def route_dispatching_answers(kit: Kit) -> Any:
    layers = ((Dispatching, {"action": SWALLOW}), Raiser)
    return kit.starlette([Outer], routes=[_route_middleware(*layers)])


@case("mount_layer_answers_later", expected=handled("Raiser"), request=Request("/in/"))
def mount_layer_answers_later(kit: Kit) -> Any:
    made = [Middleware(AnswersLater, status=200), Middleware(Raiser)]
    return kit.starlette([Outer], routes=[Mount("/in", routes=CALM_ROUTES, middleware=made)])


@case("mounted_router_layer_answers_later", expected=handled("Raiser"), request=Request("/in/"))
def mounted_router_layer_answers_later(kit: Kit) -> Any:
    made = [Middleware(AnswersLater, status=200), Middleware(Raiser)]
    return kit.starlette([Outer], routes=[Mount("/in", app=Router(CALM_ROUTES, middleware=made))])


@case("nested_mount_route_layer", expected=escaped("Raiser"), request=Request("/a/b/"))
def nested_mount_route_layer(kit: Kit) -> Any:
    inner = Mount("/b", routes=[_route_middleware(AnswersLater, Raiser)])
    return kit.starlette([Outer], routes=[Mount("/a", routes=[inner])])


# Imported before any setup replaces the class: a mounted app has no span of its own.
def _sub_app(layers: Any = (), **kwargs: Any) -> Any:
    made = [
        Middleware(layer[0], **layer[1]) if isinstance(layer, tuple) else Middleware(layer)
        for layer in layers
    ]
    return Starlette(middleware=made, **kwargs)


@case("sub_app_view", expected=escaped(VIEW, "view"), request=Request("/in/"))
def sub_app_view(kit: Kit) -> Any:
    return kit.starlette([Outer], routes=[Mount("/in", app=_sub_app(routes=FAILING_ROUTES))])


@case("sub_app_layer", expected=escaped("Raiser"), request=Request("/in/"))
def sub_app_layer(kit: Kit) -> Any:
    sub = _sub_app([Calm, Raiser], routes=CALM_ROUTES)
    return kit.starlette([Outer], routes=[Mount("/in", app=sub)])


@case("sub_app_answers_later", expected=handled("Raiser"), request=Request("/in/"))
def sub_app_answers_later(kit: Kit) -> Any:
    sub = _sub_app([(AnswersLater, {"status": 200}), Raiser], routes=CALM_ROUTES)
    return kit.starlette([Outer], routes=[Mount("/in", app=sub)])


@case("sub_app_handler", expected=handled(VIEW, "view"), request=Request("/in/"))
def sub_app_handler(kit: Kit) -> Any:
    sub = _sub_app(routes=FAILING_ROUTES, exception_handlers={ValueError: sync_handler})
    return kit.starlette([Outer], routes=[Mount("/in", app=sub)])


@case("sub_app_in_a_layer", expected=handled("Raiser"), request=Request("/in/"))
def sub_app_in_a_layer(kit: Kit) -> Any:
    sub = _sub_app([(AnswersLater, {"status": 200}), Raiser], routes=CALM_ROUTES)
    return kit.starlette([Outer], routes=[Mount("/in", app=Calm(Calm(sub)))])


@case("sub_app_hidden_in_a_function", expected=handled("Raiser"), request=Request("/in/"))
def sub_app_hidden_in_a_function(kit: Kit) -> Any:
    sub = _sub_app([(AnswersLater, {"status": 200}), Raiser], routes=CALM_ROUTES)
    hidden = {"sub": sub}

    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        await hidden["sub"](scope, receive, send)

    return kit.starlette([Outer], routes=[Mount("/in", app=mounted)])


@case("sub_app_not_found", expected=SILENT, request=Request("/in/nowhere"))
def sub_app_not_found(kit: Kit) -> Any:
    return kit.starlette([Outer], routes=[Mount("/in", app=_sub_app(routes=CALM_ROUTES))])


@case("sub_app_500_behind_a_recovery", expected=escaped(VIEW, "view"), request=Request("/in/"))
def sub_app_500_behind_a_recovery(kit: Kit) -> Any:
    # The mounted app has answered 500 before its error comes out again.
    sub = _sub_app(routes=FAILING_ROUTES)

    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        try:
            await sub(scope, receive, send)
        except ValueError:
            return

    return kit.starlette([Outer], routes=[Mount("/in", app=mounted)])


# Streams, background tasks, responses that have begun

# Before, an error of a stream or of a layer's task came out in a group of one.
COLLAPSES = ("starlette", "1.0")


async def _chunks_then_fail(count: int) -> Any:
    for number in range(count):
        yield f"chunk {number}"
    fault_site(PLAIN)


def _sync_chunks_then_fail() -> Any:
    yield "chunk 0"
    fault_site(PLAIN)


def _streaming(count: int) -> Any:
    async def view(request: Any) -> Any:
        return StreamingResponse(_chunks_then_fail(count))

    return view


@case(
    "stream_before_the_first_chunk", since=COLLAPSES, expected=escaped("_chunks_then_fail", "view")
)
def stream_before_the_first_chunk(kit: Kit) -> Any:
    return _view(kit, _streaming(0))


@case("stream_after_a_chunk", since=COLLAPSES, expected=escaped("_chunks_then_fail", "view"))
def stream_after_a_chunk(kit: Kit) -> Any:
    return _view(kit, _streaming(2))


@case(
    "stream_in_a_task_group",
    since=COLLAPSES,
    expected=escaped("_chunks_then_fail", "view"),
    request=Request(spec="2.0"),
)
def stream_in_a_task_group(kit: Kit) -> Any:
    return _view(kit, _streaming(2))


@case("stream_in_a_thread", since=COLLAPSES, expected=escaped("_sync_chunks_then_fail", "view"))
def stream_in_a_thread(kit: Kit) -> Any:
    async def view(request: Any) -> Any:
        return StreamingResponse(_sync_chunks_then_fail())

    return _view(kit, view)


@case("stream_across_tasks", since=COLLAPSES, expected=escaped("_chunks_then_fail", "view"))
def stream_across_tasks(kit: Kit) -> Any:
    return kit.starlette([Outer, CalmDispatching, Calm], routes=[Route("/", _streaming(2))])


# The instrumentation may stand within that layer, and end its span before the response has left.
@case(
    "stream_across_tasks_before_the_first_chunk",
    since=COLLAPSES,
    expected=escaped("_chunks_then_fail", "view"),
)
def stream_across_tasks_before_the_first_chunk(kit: Kit) -> Any:
    return kit.starlette([Outer, CalmDispatching, Calm], routes=[Route("/", _streaming(0))])


async def _background() -> None:
    fault_site(PLAIN)


def _sync_background() -> None:
    fault_site(PLAIN)


async def _calm_background() -> None:
    return None


def _with_background(make: Any) -> Any:
    async def view(request: Any) -> Any:
        return PlainTextResponse("accepted", background=make())

    return view


@case("background", expected=late("_background", "app", server_status="UNSET"))
def background(kit: Kit) -> Any:
    return _view(kit, _with_background(lambda: BackgroundTask(_background)))


@case("sync_background", expected=late("_sync_background", "app", server_status="UNSET"))
def sync_background(kit: Kit) -> Any:
    return _view(kit, _with_background(lambda: BackgroundTask(_sync_background)))


@case("second_background", expected=late("_background", "app", server_status="UNSET"))
def second_background(kit: Kit) -> Any:
    tasks = [BackgroundTask(_calm_background), BackgroundTask(_background)]
    return _view(kit, _with_background(lambda: BackgroundTasks(tasks)))


@case(
    "background_across_tasks",
    since=COLLAPSES,
    expected=late("_background", "app", server_status="UNSET"),
)
def background_across_tasks(kit: Kit) -> Any:
    made = _with_background(lambda: BackgroundTask(_background))
    return kit.starlette([Outer, CalmDispatching], routes=[Route("/", made)])


@case("background_with_a_handler", expected=late("_background", "app"))
def background_with_a_handler(kit: Kit) -> Any:
    # Starlette refuses: "Caught handled exception, but response already started."
    made = _with_background(lambda: BackgroundTask(_background))
    return _view(kit, made, exception_handlers={LookupError: sync_handler})


@case(
    "started_then_fails",
    expected=escaped("started_then_fails.starts_then_fails", "app"),
    request=Request("/in/"),
)
def started_then_fails(kit: Kit) -> Any:
    async def starts_then_fails(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        fault_site(PLAIN)

    return kit.starlette([Outer, Calm], routes=[Mount("/in", app=starts_then_fails)])


@case(
    "started_then_fails_and_is_swallowed",
    expected=handled("started_then_fails_and_is_swallowed.starts_then_fails", "app"),
    request=Request("/in/"),
)
def started_then_fails_and_is_swallowed(kit: Kit) -> Any:
    async def starts_then_fails(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        fault_site(PLAIN)

    class Closes(Calm):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            try:
                await self.app(scope, receive, send)
            except ValueError:
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    return kit.starlette([Outer, Closes, Calm], routes=[Mount("/in", app=starts_then_fails)])


# Websockets


async def _accepting(websocket: Any) -> None:
    await websocket.accept()
    await websocket.receive_text()
    fault_site(PLAIN)


async def _refusing(websocket: Any) -> None:
    fault_site(PLAIN)


async def _listening(websocket: Any) -> None:
    await websocket.accept()
    while True:
        await websocket.send_text(await websocket.receive_text())


async def _violated(websocket: Any) -> None:
    raise WebSocketException(1008, "policy")


GIVEN_UP = Fault(
    "given_up",
    lambda: WebSocketException(1011, "no store"),
    WebSocketException,
    "1011: no store",
)


async def _failed(websocket: Any) -> None:
    await websocket.accept()
    fault_site(GIVEN_UP)


async def _polite(websocket: Any) -> None:
    await websocket.accept()
    await websocket.close()


class SocketEndpoint(WebSocketEndpoint):
    encoding = "text"

    async def on_receive(self, websocket: Any, data: Any) -> None:
        fault_site(PLAIN)


SOCKET = Request(kind="websocket", texts=("hello",))


def _socket(kit: Kit, view: Any, layers: Any = (Outer, Calm), **kwargs: Any) -> Any:
    return kit.starlette(list(layers), routes=[WebSocketRoute("/", view)], **kwargs)


@case("socket_before_accept", expected=escaped("_refusing", "view"), request=SOCKET)
def socket_before_accept(kit: Kit) -> Any:
    return _socket(kit, _refusing)


@case("socket_after_accept", expected=escaped("_accepting", "view"), request=SOCKET)
def socket_after_accept(kit: Kit) -> Any:
    return _socket(kit, _accepting)


@case("socket_endpoint", expected=escaped("SocketEndpoint.on_receive", "view"), request=SOCKET)
def socket_endpoint(kit: Kit) -> Any:
    return _socket(kit, SocketEndpoint)


@case("socket_layer", expected=escaped("Raiser"), request=SOCKET)
def socket_layer(kit: Kit) -> Any:
    return _socket(kit, _polite, (Outer, Raiser, Inner))


@case("socket_client_leaves", expected=SILENT, request=SOCKET)
def socket_client_leaves(kit: Kit) -> Any:
    return _socket(kit, _listening)


@case("socket_violated", expected=SILENT, request=SOCKET)
def socket_violated(kit: Kit) -> Any:
    return _socket(kit, _violated)


# Its own code says that it has failed, and so it is recorded; what the client gets is up to it.
@case("socket_failed", expected=handled("_failed", "view"), fault=GIVEN_UP, request=SOCKET)
def socket_failed(kit: Kit) -> Any:
    return _socket(kit, _failed)


@case("socket_calm", expected=SILENT, request=SOCKET)
def socket_calm(kit: Kit) -> Any:
    return _socket(kit, _polite)


async def _closing_handler(websocket: Any, exc: Exception) -> None:
    await websocket.close(1011)


@case("socket_handler", expected=handled("_accepting", "view"), request=SOCKET)
def socket_handler(kit: Kit) -> Any:
    return _socket(kit, _accepting, exception_handlers={ValueError: _closing_handler})


# Those who leave, and what passes every `except Exception`


@case("client_leaves_a_stream", expected=SILENT, request=Request(leaves_after=1))
def client_leaves_a_stream(kit: Kit) -> Any:
    return _view(kit, _endless)


@case(
    "client_leaves_a_stream_old_spec", expected=SILENT, request=Request(leaves_after=1, spec="2.0")
)
def client_leaves_a_stream_old_spec(kit: Kit) -> Any:
    return _view(kit, _endless)


@case("client_leaves_across_tasks", expected=SILENT, request=Request(leaves_after=1, spec="2.0"))
def client_leaves_across_tasks(kit: Kit) -> Any:
    return kit.starlette([Outer, CalmDispatching], routes=[Route("/", _endless)])


@case("server_cancels", expected=SILENT, request=Request(leaves_after=1, cancel=True))
def server_cancels(kit: Kit) -> Any:
    return _view(kit, _endless)


async def _endless(request: Any) -> Any:
    async def chunks() -> Any:
        while True:
            yield "chunk"
            await anyio.sleep(0.001)

    return StreamingResponse(chunks())


# Starlette answers 500 to nobody; stock marks its span for that where it sees the answer.
@case(
    "client_is_gone",
    expected=SILENT,
    request=Request(method="POST", leaves_after=0),
    but=(("around", FAILED_SILENTLY),),
)
def client_is_gone(kit: Kit) -> Any:
    async def view(request: Any) -> Any:
        await request.receive()
        async for _ in request.stream():
            pass

    return kit.starlette([Outer], routes=[Route("/", view, methods=["POST"])])


@case(
    "base_exception_in_a_view",
    fault=Fault("odd", lambda: Unclassified("odd"), Unclassified, "odd"),
    expected=escaped("_raising.view", "view"),
)
def base_exception_in_a_view(kit: Kit) -> Any:
    return _view(kit, _raising(Fault("odd", lambda: Unclassified("odd"), Unclassified, "odd")))


@case(
    "system_exit_in_a_layer",
    fault=Fault("exit", lambda: SystemExit(3), SystemExit, "3"),
    expected=escaped("Raiser"),
)
def system_exit_in_a_layer(kit: Kit) -> Any:
    fault = Fault("exit", lambda: SystemExit(3), SystemExit, "3")
    return kit.starlette([Outer, (Raiser, {"fault": fault}), Inner], routes=CALM_ROUTES)


@case(
    "interrupted",
    fault=Fault("interrupt", KeyboardInterrupt, KeyboardInterrupt, ""),
    expected=escaped("_raising.view", "view"),
)
def interrupted(kit: Kit) -> Any:
    return _view(kit, _raising(Fault("interrupt", KeyboardInterrupt, KeyboardInterrupt, "")))


# Recoveries that need to be told apart


@case("eafp_in_a_layer", expected=SILENT)
def eafp_in_a_layer(kit: Kit) -> Any:
    class Caches(Calm):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            try:
                {}["missing"]
            except KeyError:
                await self.app(scope, receive, send)

    return kit.starlette([Outer, Caches, Inner], routes=CALM_ROUTES)


@case("answers_5xx_for_itself", expected=escaped("AnswersItself"))
def answers_5xx_for_itself(kit: Kit) -> Any:
    class AnswersItself(Calm):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
                return
            try:
                fault_site(PLAIN)
            except ValueError:
                await PlainTextResponse("down", 503)(scope, receive, send)

    return kit.starlette([Outer, AnswersItself, Inner], routes=CALM_ROUTES)
