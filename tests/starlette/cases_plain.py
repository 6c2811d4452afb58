"""Cases of apps made by hand: `EveryLayerMiddleware(app)` around whatever is ASGI."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Router

from asgi_cases import CASES, SILENT, Case, case, escaped, handled, late
from asgi_drive import Request
from asgi_kit import Kit
from asgi_layers import (
    FORMS,
    AfterResponse,
    AnswersLater,
    Calm,
    CalmDispatching,
    Inner,
    InSend,
    Layer,
    Outer,
    Raiser,
    Unbuildable,
    closure_layer,
)
from cases_layers import CALM_ROUTES, FAILING_ROUTES
from contract.actions import ACTIONS, RAISE_AFTER, REFUSE, SWALLOW, Action
from contract.faults import FAULTS, PLAIN, Fault, fault_site


async def end(scope: Any, receive: Any, send: Any) -> None:
    await PlainTextResponse("fine")(scope, receive, send)


async def failing_end(scope: Any, receive: Any, send: Any) -> None:
    fault_site(PLAIN)


class End:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        fault_site(PLAIN)


def _matrix() -> None:
    for form, (make, name) in FORMS.items():
        if form == "partial":
            continue  # What a partial holds cannot be reached; see `partial_hides_its_app`.
        for action in ACTIONS:
            CASES.append(_layer_case(form, make, name, action))
    for fault in FAULTS:
        CASES.append(_fault_case(fault))


def _layer_case(form: str, make: Any, name: str, action: Action) -> Case:
    layers: list[Any] = [Outer, (make, {"action": action}), Calm]
    if not action.raises:
        layers.append(Raiser)
    expected = action.expected(PLAIN, layer=name if action.raises else "Raiser")
    if action is RAISE_AFTER and form != "dispatch":
        expected = late(name, server_status="UNSET")
    return Case(
        f"plain_{form}_{action}", "asgi", lambda kit: kit.asgi(layers, end), expected=expected
    )


def _fault_case(fault: Fault) -> Case:
    layers = [Outer, (Layer, {"fault": fault}), Inner]
    return Case(
        f"plain_fault_{fault}",
        "asgi",
        lambda kit: kit.asgi(layers, end),
        fault=fault,
        expected=SILENT if fault.departure else escaped("Layer"),
    )


_matrix()


@case("plain_function", "asgi", expected=escaped("failing_end", "app"))
def plain_function(kit: Kit) -> Any:
    return kit.asgi([], failing_end)


@case("plain_object", "asgi", expected=escaped("End", "app"))
def plain_object(kit: Kit) -> Any:
    return kit.asgi([Outer], End())


@case("plain_answers_later", "asgi", expected=escaped("failing_end", "app"))
def plain_answers_later(kit: Kit) -> Any:
    return kit.asgi([Outer, AnswersLater], failing_end)


@case("plain_closures_answer_later", "asgi", expected=handled("Raiser"))
def plain_closures_answer_later(kit: Kit) -> Any:
    def later(app: Any) -> Any:
        async def layer(scope: Any, receive: Any, send: Any) -> None:
            try:
                await app(scope, receive, send)
                return
            except ValueError:
                pass
            await end(scope, receive, send)

        return layer

    return kit.asgi([(closure_layer, {"action": REFUSE}), later, Calm, Raiser], end)


@case("partial_hides_its_app", "asgi", expected=handled("Raiser"))
def partial_hides_its_app(kit: Kit) -> Any:
    # It answers within `except`, so the response shows what the partial hides.
    from asgi_layers import partial_layer

    return kit.asgi([Outer, (partial_layer, {"action": SWALLOW}), Raiser], end)


@case("plain_after_the_response", "asgi", expected=late("AfterResponse", server_status="UNSET"))
def plain_after_the_response(kit: Kit) -> Any:
    return kit.asgi([Outer, AfterResponse], end)


@case("plain_in_send", "asgi", expected=escaped("InSend"))
def plain_in_send(kit: Kit) -> Any:
    return kit.asgi([Outer, InSend, Inner], end)


@case("plain_across_tasks", "asgi", expected=escaped("failing_end", "app"))
def plain_across_tasks(kit: Kit) -> Any:
    return kit.asgi([CalmDispatching, AnswersLater], failing_end)


@case("plain_router", "asgi", expected=escaped("failing_view", "view"))
def plain_router(kit: Kit) -> Any:
    return kit.asgi([Outer], Router(FAILING_ROUTES))


@case("plain_router_not_found", "asgi", expected=SILENT, request=Request("/nowhere"))
def plain_router_not_found(kit: Kit) -> Any:
    return kit.asgi([Outer], Router(CALM_ROUTES))


@case("plain_around_starlette", "asgi", expected=handled("Raiser"))
def plain_around_starlette(kit: Kit) -> Any:
    made = [Middleware(AnswersLater, status=200), Middleware(Raiser)]
    return kit.asgi([Outer], Starlette(routes=CALM_ROUTES, middleware=made))


@case("plain_around_starlette_view", "asgi", expected=escaped("failing_view", "view"))
def plain_around_starlette_view(kit: Kit) -> Any:
    return kit.asgi([], Starlette(routes=FAILING_ROUTES))


@case("plain_around_unbuildable", "asgi", expected=escaped("Unbuildable"))
def plain_around_unbuildable(kit: Kit) -> Any:
    made = [Middleware(Calm), Middleware(Unbuildable)]
    return kit.asgi([Outer], Starlette(routes=CALM_ROUTES, middleware=made))


@case("plain_no_error", "asgi", expected=SILENT)
def plain_no_error(kit: Kit) -> Any:
    return kit.asgi([Outer, Calm], end)
