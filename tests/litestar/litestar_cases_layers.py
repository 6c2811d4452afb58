"""Cases about middleware: every form, at every level, with every fault."""

from __future__ import annotations

from typing import Any

from litestar.exceptions import NotAuthorizedException

from contract.actions import ACTIONS, CONVERT, RAISE_AFTER, RERAISE, SWALLOW, Action
from contract.faults import FAULTS, PLAIN, Fault, fault_site
from litestar_kit import (
    AFTER_START,
    ALONE,
    CASES,
    LEVELS,
    PLUGIN,
    SETUPS,
    SILENT,
    Case,
    Kit,
    case,
    escaped,
    handled,
    late,
)
from litestar_layers import FORMS, AnswersLater, Calm, InSend, Modern, Raiser

UNAUTHORIZED = Fault(
    "http_401",
    lambda: NotAuthorizedException("who are you"),
    NotAuthorizedException,
    "401: who are you",
)
# An exception handler that looks at these as Litestar's own does fails.
UNREADABLE = {"lying_class", "hostile_attributes"}


async def calm(self: Any) -> str:
    return "fine"


async def failing(self: Any) -> str:
    fault_site(PLAIN)


def _layer_case(form: str, action: Action, level: str) -> Case:
    make, name = FORMS[form]
    inner = [Calm()] if action.raises else [Calm(), Raiser()]
    levels: dict[str, list[Any]] = {"app": [Calm()], "handler": inner}
    levels[level] = [make(action, PLAIN), *levels.get(level, [])]
    if level == "handler" and not action.raises:
        levels["app"].append(Calm())
    expected = action.expected(PLAIN, layer=name if action.raises else "Raiser")
    if action is RAISE_AFTER:
        expected = late(name, server_status="UNSET")
    # Each beside one kind of stock, and alone.
    beside = SETUPS[1 + len(CASES) % (len(SETUPS) - 1)]
    return Case(
        f"{form}_{action}_{level}",
        lambda kit: kit.app(calm, levels),
        expected=expected,
        setups=(ALONE, beside),
    )


def _fault_case(fault: Fault, level: str) -> Case:
    levels = {"app": [Calm(), Modern(RERAISE)], "handler": [Calm()]}
    levels[level] = [*levels.get(level, []), Raiser(fault=fault)]
    also = ("RuntimeError",) if fault.name in UNREADABLE else ()
    return Case(
        f"fault_{fault}_{level}",
        lambda kit: kit.app(calm, levels),
        fault=fault,
        expected=SILENT if fault.departure else escaped("Raiser", also=also),
        setups=(ALONE, PLUGIN),
    )


def _view_case(fault: Fault) -> Case:
    async def view(self: Any) -> str:
        fault_site(fault)

    also = ("RuntimeError",) if fault.name in UNREADABLE else ()
    return Case(
        f"fault_{fault}_view",
        lambda kit: kit.app(view, {"app": [Calm()]}),
        fault=fault,
        expected=SILENT if fault.departure else escaped("Pages.view", "view", also=also),
        setups=(ALONE, PLUGIN),
    )


for _number, _form in enumerate(FORMS):
    for _action in ACTIONS:
        # Each form at two levels, each level with each action.
        for _level in (LEVELS[_number % 4], LEVELS[(_number + 2) % 4]):
            CASES.append(_layer_case(_form, _action, _level))
for _fault in FAULTS:
    CASES.append(_view_case(_fault))
    for _level in LEVELS:
        CASES.append(_fault_case(_fault, _level))


@case("answers_later_503", escaped("Raiser"))
def answers_later_503(kit: Kit) -> Any:
    return kit.app(calm, {"router": [AnswersLater(503)], "handler": [Raiser()]})


@case("answers_later_200", handled("Raiser"))
def answers_later_200(kit: Kit) -> Any:
    return kit.app(calm, {"app": [AnswersLater(200)], "controller": [Raiser()]})


@case("no_layer", escaped("Pages.failing", "view"))
def no_layer(kit: Kit) -> Any:
    return kit.app(failing)


@case("layers_around_an_error_that_is_answered_within", escaped("Pages.failing", "view"))
def layers_around(kit: Kit) -> Any:
    return kit.app(failing, {"app": [Modern(SWALLOW)], "handler": [Modern(CONVERT)]})


@case("in_send_start", escaped("InSend", also=(AFTER_START,)))
def in_send_start(kit: Kit) -> Any:
    return kit.app(calm, {"app": [InSend("http.response.start")]})


@case("client_error_of_a_layer", handled("Raiser"), fault=UNAUTHORIZED)
def client_error_of_a_layer(kit: Kit) -> Any:
    return kit.app(calm, {"router": [Raiser(fault=UNAUTHORIZED)]})


async def refusing(self: Any) -> str:
    fault_site(UNAUTHORIZED)


@case("client_error_of_a_view", SILENT, fault=UNAUTHORIZED)
def client_error_of_a_view(kit: Kit) -> Any:
    return kit.app(refusing, {"app": [Calm()]})
