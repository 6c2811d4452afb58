"""Cases that only FastAPI has: dependencies, validation, its own telemetry beside ours."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Body, Depends, FastAPI, HTTPException, WebSocket
from fastapi.exceptions import RequestValidationError
from starlette.responses import JSONResponse, StreamingResponse

from asgi_cases import SILENT, case, escaped, handled, late
from asgi_drive import Request
from asgi_kit import Kit
from asgi_layers import (
    AnswersLater,
    Calm,
    CalmDispatching,
    Dispatching,
    FreshScope,
    Inner,
    Layer,
    Outer,
    Raiser,
    Unbuildable,
    closure_layer,
)
from cases_layers import DENIED, _authenticated
from contract.actions import REFUSE, SWALLOW
from contract.faults import PLAIN, Fault, Unclassified, fault_site

# Annotations are resolved from this module's names.
Int = int


def _http(status: int) -> Fault:
    from starlette.exceptions import HTTPException as Base

    cls: Any = HTTPException
    assert issubclass(cls, Base)
    return Fault(f"http_{status}", lambda: cls(status, "said so"), cls, f"{status}: said so")


async def calm() -> Any:
    return {"fine": True}


async def failing() -> Any:
    fault_site(PLAIN)


def sync_failing() -> Any:
    fault_site(PLAIN)


def _calm(app: Any) -> None:
    app.get("/")(calm)


def _failing(app: Any) -> None:
    app.get("/")(failing)


LAYERS = [Outer, Calm, Inner]


@case("fastapi_view", "fastapi", expected=escaped("failing", "view"))
def fastapi_view(kit: Kit) -> Any:
    return kit.fastapi(LAYERS, _failing)


@case("fastapi_sync_view", "fastapi", expected=escaped("sync_failing", "view"))
def fastapi_sync_view(kit: Kit) -> Any:
    return kit.fastapi(LAYERS, lambda app: app.get("/")(sync_failing))


@case("fastapi_layer", "fastapi", expected=escaped("Raiser"))
def fastapi_layer(kit: Kit) -> Any:
    return kit.fastapi([Outer, Raiser, Inner], _calm)


@case("fastapi_closure", "fastapi", expected=escaped("closure_layer.layer"))
def fastapi_closure(kit: Kit) -> Any:
    return kit.fastapi([Outer, closure_layer, Inner], _calm)


@case("fastapi_dispatching", "fastapi", expected=escaped("Dispatching"))
def fastapi_dispatching(kit: Kit) -> Any:
    return kit.fastapi([Outer, Dispatching, Inner], _calm)


@case("fastapi_dispatching_swallows", "fastapi", expected=handled("failing", "view"))
def fastapi_dispatching_swallows(kit: Kit) -> Any:
    return kit.fastapi([(Dispatching, {"action": SWALLOW}), Calm], _failing)


@case("fastapi_refuses", "fastapi", expected=handled("failing", "view"))
def fastapi_refuses(kit: Kit) -> Any:
    return kit.fastapi([Outer, (Layer, {"action": REFUSE}), Calm], _failing)


@case("fastapi_answers_later", "fastapi", expected=escaped("Raiser"))
def fastapi_answers_later(kit: Kit) -> Any:
    return kit.fastapi([Outer, AnswersLater, Raiser], _calm)


@case("fastapi_answers_later_across_tasks", "fastapi", expected=escaped("Raiser"))
def fastapi_answers_later_across_tasks(kit: Kit) -> Any:
    return kit.fastapi([CalmDispatching, AnswersLater, Raiser], _calm)


@case("fastapi_fresh_scope", "fastapi", expected=escaped("Raiser"))
def fastapi_fresh_scope(kit: Kit) -> Any:
    return kit.fastapi([FreshScope, AnswersLater, Raiser], _calm)


@case("fastapi_unbuildable", "fastapi", expected=escaped("Unbuildable"))
def fastapi_unbuildable(kit: Kit) -> Any:
    return kit.fastapi([Outer, Unbuildable, Inner], _calm)


@case(
    "fastapi_authentication", "fastapi", fault=DENIED, expected=handled("AuthenticationMiddleware")
)
def fastapi_authentication(kit: Kit) -> Any:
    return kit.fastapi([Outer, _authenticated(DENIED), Inner], _calm)


# Dependencies

# Before, a dependency was left before its response was sent.
EXITS_LATE = ("fastapi", "0.118")

REPLACED = Fault("replaced", lambda: HTTPException(503, "replaced"), HTTPException, "503: replaced")


async def dependency() -> None:
    fault_site(PLAIN)


def sync_dependency() -> None:
    fault_site(PLAIN)


async def unauthorized() -> None:
    fault_site(_http(401))


def sync_unauthorized() -> None:
    fault_site(_http(403))


async def needs_unauthorized(user: Annotated[Any, Depends(unauthorized)]) -> None:
    return None


async def before_yield() -> Any:
    fault_site(PLAIN)
    yield


async def after_yield() -> Any:
    yield
    fault_site(PLAIN)


def sync_after_yield() -> Any:
    yield
    fault_site(PLAIN)


async def passes_on() -> Any:
    yield


async def replaces() -> Any:
    try:
        yield
    except ValueError:
        fault_site(REPLACED)


class Dependency:
    def __call__(self) -> None:
        fault_site(PLAIN)


def _depending(*dependencies: Any, view: Any = calm) -> Any:
    def build(app: Any) -> None:
        app.get("/", dependencies=[Depends(d) for d in dependencies])(view)

    return build


@case("dependency", "fastapi", expected=escaped("dependency", "hook"))
def dependency_case(kit: Kit) -> Any:
    return kit.fastapi(LAYERS, _depending(dependency))


@case("sync_dependency", "fastapi", expected=escaped("sync_dependency", "hook"))
def sync_dependency_case(kit: Kit) -> Any:
    return kit.fastapi(LAYERS, _depending(sync_dependency))


@case("class_dependency", "fastapi", expected=escaped("Dependency", "hook"))
def class_dependency(kit: Kit) -> Any:
    return kit.fastapi(LAYERS, _depending(Dependency()))


@case("dependency_401", "fastapi", fault=_http(401), expected=handled("unauthorized", "hook"))
def dependency_401(kit: Kit) -> Any:
    return kit.fastapi(LAYERS, _depending(unauthorized))


@case(
    "sync_dependency_403",
    "fastapi",
    fault=_http(403),
    expected=handled("sync_unauthorized", "hook"),
)
def sync_dependency_403(kit: Kit) -> Any:
    return kit.fastapi(LAYERS, _depending(sync_unauthorized))


@case("sub_dependency_401", "fastapi", fault=_http(401), expected=handled("unauthorized", "hook"))
def sub_dependency_401(kit: Kit) -> Any:
    return kit.fastapi(LAYERS, _depending(needs_unauthorized))


@case("app_dependency_401", "fastapi", fault=_http(401), expected=handled("unauthorized", "hook"))
def app_dependency_401(kit: Kit) -> Any:
    return kit.fastapi(LAYERS, _calm, dependencies=[Depends(unauthorized)])


@case(
    "router_dependency_401", "fastapi", fault=_http(401), expected=handled("unauthorized", "hook")
)
def router_dependency_401(kit: Kit) -> Any:
    def build(app: Any) -> None:
        router = APIRouter(dependencies=[Depends(unauthorized)])
        router.get("/")(calm)
        app.include_router(router)

    return kit.fastapi(LAYERS, build)


@case(
    "dependency_401_across_tasks",
    "fastapi",
    fault=_http(401),
    expected=handled("unauthorized", "hook"),
)
def dependency_401_across_tasks(kit: Kit) -> Any:
    return kit.fastapi([Outer, CalmDispatching], _depending(unauthorized))


@case("view_404", "fastapi", fault=_http(404), expected=SILENT)
def view_404(kit: Kit) -> Any:
    async def view() -> Any:
        fault_site(_http(404))

    return kit.fastapi(LAYERS, lambda app: app.get("/")(view))


@case("view_401_behind_a_dependency", "fastapi", fault=_http(401), expected=SILENT)
def view_401_behind_a_dependency(kit: Kit) -> Any:
    async def view() -> Any:
        fault_site(_http(401))

    return kit.fastapi(LAYERS, _depending(passes_on, view=view))


@case("before_yield", "fastapi", expected=escaped("before_yield", "hook"))
def before_yield_case(kit: Kit) -> Any:
    return kit.fastapi(LAYERS, _depending(before_yield))


@case(
    "after_yield",
    "fastapi",
    since=EXITS_LATE,
    expected=late("after_yield", "hook", server_status="UNSET"),
)
def after_yield_case(kit: Kit) -> Any:
    return kit.fastapi(LAYERS, _depending(after_yield))


@case(
    "sync_after_yield",
    "fastapi",
    since=EXITS_LATE,
    expected=late("sync_after_yield", "hook", server_status="UNSET"),
)
def sync_after_yield_case(kit: Kit) -> Any:
    return kit.fastapi(LAYERS, _depending(sync_after_yield))


@case("view_through_a_yield", "fastapi", expected=escaped("failing", "view"))
def view_through_a_yield(kit: Kit) -> Any:
    return kit.fastapi(LAYERS, _depending(passes_on, view=failing))


@case("dependency_replaces", "fastapi", fault=REPLACED, expected=escaped("replaces", "hook"))
def dependency_replaces(kit: Kit) -> Any:
    return kit.fastapi(LAYERS, _depending(replaces, view=failing))


# Validation, responses, handlers


def _items(app: Any) -> None:
    @app.post("/items/{number}")
    async def item(number: Int, name: Annotated[str, Body(embed=True)]) -> Any:
        return {"number": number}

    @app.get("/wrong", response_model=Int)
    async def wrong() -> Any:
        return "no number"


@case("path_validation", "fastapi", expected=SILENT, request=Request("/items/x", "POST"))
def path_validation(kit: Kit) -> Any:
    return kit.fastapi(LAYERS, _items)


@case(
    "body_validation",
    "fastapi",
    expected=SILENT,
    request=Request("/items/1", "POST", (("content-type", "application/json"),), b"{"),
)
def body_validation(kit: Kit) -> Any:
    return kit.fastapi(LAYERS, _items)


@case("validation_handler", "fastapi", expected=SILENT, request=Request("/items/x", "POST"))
def validation_handler(kit: Kit) -> Any:
    async def handler(request: Any, exc: Exception) -> Any:
        return JSONResponse({"error": "no"}, 400)

    return kit.fastapi(LAYERS, _items, exception_handlers={RequestValidationError: handler})


@case("fastapi_not_found", "fastapi", expected=SILENT, request=Request("/nowhere"))
def fastapi_not_found(kit: Kit) -> Any:
    return kit.fastapi(LAYERS, _items)


@case("fastapi_method_not_allowed", "fastapi", expected=SILENT, request=Request("/wrong", "PUT"))
def fastapi_method_not_allowed(kit: Kit) -> Any:
    return kit.fastapi(LAYERS, _items)


@case("fastapi_no_error", "fastapi", expected=SILENT)
def fastapi_no_error(kit: Kit) -> Any:
    return kit.fastapi([Outer, CalmDispatching, Inner], _depending(passes_on))


@case("fastapi_schema", "fastapi", expected=SILENT, request=Request("/openapi.json"))
def fastapi_schema(kit: Kit) -> Any:
    return kit.fastapi(LAYERS, _items)


def _handlers(status: int) -> Any:
    async def handler(request: Any, exc: Exception) -> Any:
        return JSONResponse({"error": "handled"}, status)

    return {ValueError: handler}


@case("fastapi_handler_409", "fastapi", expected=handled("failing", "view"))
def fastapi_handler_409(kit: Kit) -> Any:
    return kit.fastapi(LAYERS, _failing, exception_handlers=_handlers(409))


@case("fastapi_handler_502", "fastapi", expected=escaped("failing", "view"))
def fastapi_handler_502(kit: Kit) -> Any:
    return kit.fastapi(LAYERS, _failing, exception_handlers=_handlers(502))


@case("fastapi_handler_across_tasks", "fastapi", expected=handled("dependency", "hook"))
def fastapi_handler_across_tasks(kit: Kit) -> Any:
    return kit.fastapi(
        [CalmDispatching, Calm], _depending(dependency), exception_handlers=_handlers(409)
    )


async def broken(request: Any, exc: Exception) -> Any:
    raise LookupError("handler failed")


@case(
    "fastapi_broken_handler", "fastapi", expected=escaped("failing", "view", also=("LookupError",))
)
def fastapi_broken_handler(kit: Kit) -> Any:
    return kit.fastapi(LAYERS, _failing, exception_handlers={ValueError: broken})


# Stock puts a second ServerErrorMiddleware around the app, which answers where FastAPI does not.
@case(
    "fastapi_broken_handler_500",
    "fastapi",
    expected=escaped("failing", "view", also=("LookupError",)),
    skip=("fastapi_app_first", "fastapi_app_last", "fastapi_instrument"),
)
def fastapi_broken_handler_500(kit: Kit) -> Any:
    return kit.fastapi(LAYERS, _failing, exception_handlers={Exception: broken})


# Later than the response


def task() -> None:
    fault_site(PLAIN)


@case("fastapi_background", "fastapi", expected=late("task", "app", server_status="UNSET"))
def fastapi_background(kit: Kit) -> Any:
    async def view(tasks: BackgroundTasks) -> Any:
        tasks.add_task(task)
        return {"fine": True}

    return kit.fastapi(LAYERS, lambda app: app.get("/")(view))


async def _chunks() -> Any:
    yield "chunk"
    fault_site(PLAIN)


@case("fastapi_stream", "fastapi", since=("starlette", "1.0"), expected=escaped("_chunks", "view"))
def fastapi_stream(kit: Kit) -> Any:
    async def view() -> Any:
        return StreamingResponse(_chunks())

    return kit.fastapi(LAYERS, lambda app: app.get("/")(view))


# Sub-apps and sockets


@case("fastapi_sub_app", "fastapi", expected=handled("Raiser"), request=Request("/sub/"))
def fastapi_sub_app(kit: Kit) -> Any:
    def build(app: Any) -> None:
        sub = PLAIN_FASTAPI(**kit.telemetry())
        sub.add_middleware(Raiser)
        sub.add_middleware(AnswersLater, status=200)
        sub.get("/")(calm)
        app.mount("/sub", sub)

    return kit.fastapi(LAYERS, build)


@case(
    "fastapi_included_router",
    "fastapi",
    expected=escaped("failing", "view"),
    request=Request("/v1/"),
)
def fastapi_included_router(kit: Kit) -> Any:
    def build(app: Any) -> None:
        router = APIRouter(prefix="/v1")
        router.get("/")(failing)
        app.include_router(router)

    return kit.fastapi(LAYERS, build)


PLAIN_FASTAPI = FastAPI
SOCKET = Request(kind="websocket", texts=("hello",))


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.receive_text()
    fault_site(PLAIN)


async def calm_socket(websocket: WebSocket) -> None:
    await websocket.accept()
    while True:
        await websocket.receive_text()


@case("fastapi_socket", "fastapi", expected=escaped("socket", "view"), request=SOCKET)
def fastapi_socket(kit: Kit) -> Any:
    return kit.fastapi(LAYERS, lambda app: app.websocket("/")(socket))


@case(
    "fastapi_socket_dependency", "fastapi", expected=escaped("dependency", "hook"), request=SOCKET
)
def fastapi_socket_dependency(kit: Kit) -> Any:
    def build(app: Any) -> None:
        app.websocket("/", dependencies=[Depends(dependency)])(calm_socket)

    return kit.fastapi(LAYERS, build)


@case("fastapi_socket_client_leaves", "fastapi", expected=SILENT, request=SOCKET)
def fastapi_socket_client_leaves(kit: Kit) -> Any:
    return kit.fastapi(LAYERS, lambda app: app.websocket("/")(calm_socket))


@case(
    "fastapi_base_exception",
    "fastapi",
    fault=Fault("odd", lambda: Unclassified("odd"), Unclassified, "odd"),
    expected=escaped("fastapi_base_exception.odd_view", "view"),
)
def fastapi_base_exception(kit: Kit) -> Any:
    async def odd_view() -> Any:
        fault_site(Fault("odd", lambda: Unclassified("odd"), Unclassified, "odd"))

    return kit.fastapi(LAYERS, lambda app: app.get("/")(odd_view))
