"""Cases about what Litestar calls besides middleware: handlers of exceptions, hooks, guards."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any

from litestar import MediaType, Response
from litestar.di import Provide
from litestar.exceptions import (
    HTTPException,
)

from asgi_drive import Request
from contract.faults import PLAIN, Fault, fault_site
from litestar_cases_layers import UNAUTHORIZED, calm, failing
from litestar_kit import AFTER_START, LEVELS, SILENT, Kit, case, escaped, handled, late
from litestar_layers import AnswersLater, Calm, Raiser

BROKEN = Fault("broken", lambda: LookupError("no page"), LookupError, "no page")
TEAPOT = Fault("http_418", lambda: HTTPException("tea", status_code=418), HTTPException, "418: tea")
GATEWAY = Fault(
    "http_502", lambda: HTTPException("far away", status_code=502), HTTPException, "502: far away"
)
VIEW = ("Pages.failing", "view")


def fine(request: Any, exc: Exception) -> Response[str]:
    return Response("instead", status_code=200, media_type=MediaType.TEXT)


def gone(request: Any, exc: Exception) -> Response[str]:
    return Response("gone", status_code=410, media_type=MediaType.TEXT)


def broken(request: Any, exc: Exception) -> Response[str]:
    fault_site(BROKEN)


def at(level: str, **options: Any) -> dict[str, Any]:
    """Return the arguments of `Kit.app` that give `options` to one level."""
    return options if level == "app" else {level: options}


def _handlers() -> None:
    for level in LEVELS:

        @case(f"exception_handler_{level}", handled(*VIEW))
        def recovered(kit: Kit, level: str = level) -> Any:
            return kit.app(failing, **at(level, exception_handlers={ValueError: fine}))

        @case(f"exception_handler_for_500_{level}", handled(*VIEW))
        def gone_at(kit: Kit, level: str = level) -> Any:
            layers = {"app": [Calm()]}
            return kit.app(failing, layers, **at(level, exception_handlers={500: gone}))

        @case(f"broken_exception_handler_{level}", escaped(*VIEW, also=("LookupError",)))
        def broken_at(kit: Kit, level: str = level) -> Any:
            return kit.app(failing, **at(level, exception_handlers={ValueError: broken}))


_handlers()


@case("broken_exception_handler_within_layers", escaped(*VIEW, also=("LookupError",)))
def broken_within(kit: Kit) -> Any:
    layers = {"app": [AnswersLater(503)], "handler": [Calm()]}
    return kit.app(failing, layers, exception_handlers={ValueError: broken})


@case("exception_handler_of_a_layers_error", handled("Raiser"))
def handler_of_a_layer(kit: Kit) -> Any:
    return kit.app(calm, {"router": [Raiser()]}, exception_handlers={ValueError: fine})


@case("http_418_of_a_layer", handled("Raiser"), fault=TEAPOT)
def http_418_of_a_layer(kit: Kit) -> Any:
    return kit.app(calm, {"handler": [Raiser(fault=TEAPOT)]})


@case("http_502_of_a_view", escaped("Pages.view", "view"), fault=GATEWAY)
def http_502_of_a_view(kit: Kit) -> Any:
    async def view(self: Any) -> str:
        fault_site(GATEWAY)

    return kit.app(view)


def guard(connection: Any, handler: Any) -> None:
    fault_site(UNAUTHORIZED)


async def failing_guard(connection: Any, handler: Any) -> None:
    fault_site(PLAIN)


@case("guard_refuses", handled("guard", "hook"), fault=UNAUTHORIZED)
def guard_refuses(kit: Kit) -> Any:
    return kit.app(calm, router={"guards": [guard]})


@case("guard_fails", escaped("failing_guard", "hook"))
def guard_fails(kit: Kit) -> Any:
    return kit.app(calm, {"app": [Calm()]}, handler={"guards": [failing_guard]})


async def hook_of_a_request(request: Any) -> None:
    fault_site(PLAIN)


async def hook_of_a_response(response: Any) -> Any:
    fault_site(PLAIN)


@case("before_request", escaped("hook_of_a_request", "hook"))
def before_request(kit: Kit) -> Any:
    return kit.app(calm, before_request=hook_of_a_request)


@case("after_request", escaped("hook_of_a_response", "hook"))
def after_request(kit: Kit) -> Any:
    return kit.app(calm, controller={"after_request": hook_of_a_response})


@case("after_response", late("hook_of_a_request", "hook", server_status="UNSET"))
def after_response(kit: Kit) -> Any:
    return kit.app(calm, {"app": [Calm()]}, router={"after_response": hook_of_a_request})


async def hook_of_an_exception(exc: BaseException, scope: Any) -> None:
    fault_site(BROKEN)


@case("after_exception_fails", escaped(*VIEW, also=("LookupError",)))
def after_exception_fails(kit: Kit) -> Any:
    return kit.app(failing, after_exception=[hook_of_an_exception])


async def hook_of_a_message(message: Any, scope: Any) -> None:
    if message["type"] == "http.response.start":
        fault_site(PLAIN)


@case("before_send", escaped("hook_of_a_message", "hook", also=(AFTER_START,)))
def before_send(kit: Kit) -> Any:
    return kit.app(calm, before_send=[hook_of_a_message])


async def given() -> str:
    fault_site(PLAIN)


def given_in_a_thread() -> str:
    fault_site(PLAIN)


async def closing() -> AsyncGenerator[str, None]:
    yield "given"
    fault_site(PLAIN)


def closing_and_looking() -> Generator[str, None, None]:
    try:
        yield "given"
    except ValueError:
        fault_site(BROKEN)


async def needing(self: Any, value: str) -> str:
    return value


async def needing_in_vain(self: Any, value: str) -> str:
    fault_site(PLAIN)


@case("dependency", escaped("given", "hook"))
def dependency(kit: Kit) -> Any:
    return kit.app(needing, dependencies={"value": Provide(given)})


@case("dependency_in_a_thread", escaped("given_in_a_thread", "hook"))
def dependency_in_a_thread(kit: Kit) -> Any:
    found = {"value": Provide(given_in_a_thread, sync_to_thread=True)}
    return kit.app(needing, controller={"dependencies": found})


@case("dependency_that_fails_when_it_closes", escaped("closing", "hook"))
def dependency_that_closes(kit: Kit) -> Any:
    return kit.app(needing, {"app": [Calm()]}, router={"dependencies": {"value": Provide(closing)}})


def in_a_thread(self: Any) -> str:
    fault_site(PLAIN)


@case("view_in_a_thread", escaped("Pages.in_a_thread", "view"))
def view_in_a_thread(kit: Kit) -> Any:
    return kit.app(in_a_thread, handler={"sync_to_thread": True})


@case("not_found", SILENT, request=Request("/nowhere"))
def not_found(kit: Kit) -> Any:
    return kit.app(calm, {"app": [Calm()]})


@case("not_allowed", SILENT, request=Request(method="DELETE"))
def not_allowed(kit: Kit) -> Any:
    return kit.app(calm, {"app": [Calm()]})


async def counting(self: Any, count: int) -> str:
    return str(count)


@case("bad_parameter", SILENT, request=Request("/?count=many"))
def bad_parameter(kit: Kit) -> Any:
    return kit.app(counting)


@case("no_error", SILENT)
def no_error(kit: Kit) -> Any:
    return kit.app(calm, {level: [Calm()] for level in LEVELS})
