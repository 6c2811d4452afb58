"""Cases about middleware: every form of layer, what it does with an error, and how it recovers."""

from __future__ import annotations

import sys
from typing import Any

from starlette.authentication import AuthenticationBackend, AuthenticationError
from starlette.exceptions import HTTPException
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from asgi_cases import CASES, SILENT, Case, case, escaped, handled, late
from asgi_drive import Request
from asgi_kit import Kit
from asgi_layers import (
    FORMS,
    AfterResponse,
    AnswersLater,
    Calm,
    CalmDispatching,
    Dispatching,
    FallsBack,
    FreshScope,
    Grouping,
    InFinally,
    Inner,
    InReceive,
    InSend,
    Layer,
    Outer,
    Raiser,
    Unbuildable,
)
from contract.actions import (
    ACTIONS,
    CONVERT,
    RAISE_AFTER,
    REFUSE,
    RERAISE,
    SWALLOW,
    Action,
)
from contract.faults import FAULTS, Fault, fault_site

UNAUTHORIZED = Fault(
    "http_401", lambda: HTTPException(401, "who are you"), HTTPException, "401: who are you"
)
DENIED = Fault("auth", lambda: AuthenticationError("bad token"), AuthenticationError, "bad token")


async def calm_view(request: Any) -> Any:
    return PlainTextResponse("fine")


async def failing_view(request: Any) -> Any:
    fault_site(_PLAIN)


_PLAIN = Fault("plain", lambda: ValueError("plain fault"), ValueError, "plain fault")
CALM_ROUTES = [Route("/", calm_view)]
FAILING_ROUTES = [Route("/", failing_view)]


def _matrix() -> None:
    for form, (make, name) in FORMS.items():
        for action in ACTIONS:
            CASES.append(_layer_case(form, make, name, action))
    for fault in FAULTS:
        CASES.append(_fault_case(fault))


def _layer_case(form: str, make: Any, name: str, action: Action) -> Case:
    own = {"action": action}
    layers: list[Any] = [Outer, (make, own), Calm]
    if not action.raises:
        layers.append(Raiser)
    layers.append(Inner)
    expected = action.expected(_PLAIN, layer=name if action.raises else "Raiser")
    # After the inner part of a pure ASGI layer has returned, the response is complete.
    if action is RAISE_AFTER and form != "dispatch":
        expected = late(name, server_status="UNSET")
    return Case(
        f"{form}_{action}",
        "starlette",
        lambda kit: kit.starlette(layers, routes=CALM_ROUTES),
        expected=expected,
    )


def _fault_case(fault: Fault) -> Case:
    layers = [Outer, (Layer, {"action": RERAISE}), (Raiser, {"fault": fault}), Inner]
    return Case(
        f"fault_{fault}",
        "starlette",
        lambda kit: kit.starlette(layers, routes=CALM_ROUTES),
        fault=fault,
        expected=SILENT if fault.departure else escaped("Raiser"),
    )


_matrix()


@case("answers_later_503", expected=escaped("Raiser"))
def answers_later_503(kit: Kit) -> Any:
    return kit.starlette([Outer, (AnswersLater, {"status": 503}), Raiser], routes=CALM_ROUTES)


@case("answers_later_200", expected=handled("Raiser"))
def answers_later_200(kit: Kit) -> Any:
    return kit.starlette([Outer, (AnswersLater, {"status": 200}), Raiser], routes=CALM_ROUTES)


@case("answers_later_for_the_view", expected=escaped("failing_view", "view"))
def answers_later_for_the_view(kit: Kit) -> Any:
    return kit.starlette([Outer, AnswersLater, Inner], routes=FAILING_ROUTES)


@case("answers_later_across_tasks", expected=escaped("Raiser"))
def answers_later_across_tasks(kit: Kit) -> Any:
    return kit.starlette([CalmDispatching, AnswersLater, Raiser], routes=CALM_ROUTES)


@case("answers_across_tasks", expected=handled("Raiser"))
def answers_across_tasks(kit: Kit) -> Any:
    layers = [CalmDispatching, (Layer, {"action": SWALLOW}), Raiser]
    return kit.starlette(layers, routes=CALM_ROUTES)


@case("two_dispatching_layers", expected=escaped("Raiser"))
def two_dispatching_layers(kit: Kit) -> Any:
    return kit.starlette([CalmDispatching, Outer, CalmDispatching, Raiser], routes=CALM_ROUTES)


@case("dispatching_recovers_two_deep", expected=handled("Raiser"))
def dispatching_recovers_two_deep(kit: Kit) -> Any:
    layers = [(Dispatching, {"action": SWALLOW}), CalmDispatching, Raiser]
    return kit.starlette(layers, routes=CALM_ROUTES)


@case("falls_back_to_another_app", expected=handled("Raiser"))
def falls_back_to_another_app(kit: Kit) -> Any:
    return kit.starlette([FallsBack, Raiser], routes=CALM_ROUTES)


@case("recovery_refuses", expected=handled("failing_view", "view"))
def recovery_refuses(kit: Kit) -> Any:
    return kit.starlette([(Layer, {"action": REFUSE})], routes=FAILING_ROUTES)


@case("recovery_converts", expected=escaped("failing_view", "view"))
def recovery_converts(kit: Kit) -> Any:
    return kit.starlette([(Layer, {"action": CONVERT}), Calm], routes=FAILING_ROUTES)


@case("in_send_start", expected=escaped("InSend"))
def in_send_start(kit: Kit) -> Any:
    return kit.starlette([Outer, InSend, Inner], routes=CALM_ROUTES)


@case("in_send_body", expected=escaped("InSend"))
def in_send_body(kit: Kit) -> Any:
    layers = [Outer, (InSend, {"on": "http.response.body"}), Inner]
    return kit.starlette(layers, routes=CALM_ROUTES)


async def reading_view(request: Any) -> Any:
    return PlainTextResponse(await request.body())


@case("in_receive", expected=escaped("InReceive"))
def in_receive(kit: Kit) -> Any:
    return kit.starlette([Outer, InReceive, Inner], routes=[Route("/", reading_view)])


@case("after_the_response", expected=late("AfterResponse", server_status="UNSET"))
def after_the_response(kit: Kit) -> Any:
    return kit.starlette([Outer, AfterResponse, Inner], routes=CALM_ROUTES)


@case(
    "in_finally",
    fault=Fault("cleanup", lambda: OSError("cleanup"), OSError, "cleanup"),
    expected=escaped("InFinally", also=("ValueError",)),
)
def in_finally(kit: Kit) -> Any:
    cleanup = Fault("cleanup", lambda: OSError("cleanup"), OSError, "cleanup")
    return kit.starlette([Outer, (InFinally, {"fault": cleanup}), Raiser], routes=CALM_ROUTES)


@case("unbuildable", expected=escaped("Unbuildable"))
def unbuildable(kit: Kit) -> Any:
    return kit.starlette([Outer, Unbuildable, Inner], routes=CALM_ROUTES)


@case("fresh_scope", expected=escaped("Raiser"))
def fresh_scope(kit: Kit) -> Any:
    return kit.starlette([FreshScope, AnswersLater, Raiser], routes=CALM_ROUTES)


@case("stock_layers_around", expected=escaped("Raiser"))
def stock_layers_around(kit: Kit) -> Any:
    layers = [(CORSMiddleware, {"allow_origins": ["*"]}), GZipMiddleware, Raiser]
    return kit.starlette(layers, routes=CALM_ROUTES)


class Backend(AuthenticationBackend):
    """Fails as told."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault

    async def authenticate(self, conn: Any) -> Any:
        fault_site(self.fault)


def _authenticated(fault: Fault, **options: Any) -> Any:
    return (AuthenticationMiddleware, {"backend": Backend(fault), **options})


@case("authentication_fails", fault=DENIED, expected=handled("AuthenticationMiddleware"))
def authentication_fails(kit: Kit) -> Any:
    return kit.starlette([Outer, _authenticated(DENIED), Inner], routes=CALM_ROUTES)


def _forbid(conn: Any, exc: Exception) -> Any:
    return PlainTextResponse("no", 403)


@case("authentication_on_error", fault=DENIED, expected=handled("AuthenticationMiddleware"))
def authentication_on_error(kit: Kit) -> Any:
    layers = [Outer, _authenticated(DENIED, on_error=_forbid), Inner]
    return kit.starlette(layers, routes=CALM_ROUTES)


@case("authentication_across_tasks", fault=DENIED, expected=handled("AuthenticationMiddleware"))
def authentication_across_tasks(kit: Kit) -> Any:
    return kit.starlette([CalmDispatching, _authenticated(DENIED)], routes=CALM_ROUTES)


@case("authentication_breaks", expected=escaped("AuthenticationMiddleware"))
def authentication_breaks(kit: Kit) -> Any:
    return kit.starlette([Outer, _authenticated(_PLAIN), Inner], routes=CALM_ROUTES)


def _broken_on_error(conn: Any, exc: Exception) -> Any:
    fault_site(_PLAIN)


# The error that `on_error` was given began in the same layer: it is in the chain of the other.
@case("authentication_on_error_breaks", expected=escaped("AuthenticationMiddleware"))
def authentication_on_error_breaks(kit: Kit) -> Any:
    layers = [Outer, _authenticated(DENIED, on_error=_broken_on_error), Inner]
    return kit.starlette(layers, routes=CALM_ROUTES)


@case("http_exception_in_a_layer", fault=UNAUTHORIZED, expected=escaped("Layer"))
def http_exception_in_a_layer(kit: Kit) -> Any:
    return kit.starlette([Outer, (Layer, {"fault": UNAUTHORIZED})], routes=CALM_ROUTES)


@case("http_exception_in_a_dispatch", fault=UNAUTHORIZED, expected=escaped("Dispatching"))
def http_exception_in_a_dispatch(kit: Kit) -> Any:
    return kit.starlette([Outer, (Dispatching, {"fault": UNAUTHORIZED})], routes=CALM_ROUTES)


@case("http_exception_recovered", fault=UNAUTHORIZED, expected=handled("Raiser"))
def http_exception_recovered(kit: Kit) -> Any:
    layers = [(Layer, {"action": REFUSE}), (Raiser, {"fault": UNAUTHORIZED})]
    return kit.starlette(layers, routes=CALM_ROUTES)


if sys.version_info >= (3, 11):
    GROUPED = ("ValueError", "plain fault")
else:
    # anyio's groups are those of the backport, which the standard library cannot render.
    from exceptiongroup import ExceptionGroup

    GROUPED = ()

GROUP = Fault(
    "group",
    lambda: ValueError("plain fault"),
    ExceptionGroup,
    "unhandled errors in a TaskGroup (1 sub-exception)",
    shows=GROUPED,
)


@case("task_group", fault=GROUP, expected=escaped("Grouping"))
def task_group(kit: Kit) -> Any:
    return kit.starlette([Outer, Grouping, Inner], routes=CALM_ROUTES)


@case("task_group_recovered", fault=GROUP, expected=handled("Grouping"))
def task_group_recovered(kit: Kit) -> Any:
    return kit.starlette([(Layer, {"action": REFUSE}), Grouping, Inner], routes=CALM_ROUTES)


@case("no_error", expected=SILENT)
def no_error(kit: Kit) -> Any:
    return kit.starlette([Outer, CalmDispatching, Inner], routes=CALM_ROUTES)


@case("not_found", expected=SILENT, request=Request("/nowhere"))
def not_found(kit: Kit) -> Any:
    return kit.starlette([Outer, CalmDispatching, Inner], routes=CALM_ROUTES)


@case("method_not_allowed", expected=SILENT, request=Request(method="DELETE"))
def method_not_allowed(kit: Kit) -> Any:
    return kit.starlette([Outer, CalmDispatching, Inner], routes=CALM_ROUTES)
