"""What a layer can do with a fault; a framework's suite runs actions x faults x positions.

A suite builds its own kind of layer and lets `perform` (or `perform_async`) be its body:

    def layer(request):
        return perform(action, fault, lambda: inner(request), lambda status: Response(status))
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from .expect import Expected
from .faults import Fault, fault_site

R = TypeVar("R")


class TranslatedError(Exception):
    """What a layer raises in place of the error it caught."""


TRANSLATED_TYPE = f"{TranslatedError.__module__}.{TranslatedError.__qualname__}"
TRANSLATED_MESSAGE = "translated by a layer"


@dataclass(frozen=True)
class Action:
    """One behaviour of a layer.

    Attributes:
        name: id of the case.
        raises: the layer raises the fault itself; otherwise something inside it must.
        proceeds: the inner part runs.
        answer: status of the response that the layer gives in place of the error.
        translates: another error, raised from the first one, goes on.
    """

    name: str
    raises: bool = False
    proceeds: bool = True
    answer: int | None = None
    translates: bool = False

    def __str__(self) -> str:
        return self.name

    def recovers(self, fault: Fault) -> bool:
        """Tell whether the layer answers `fault`; like most, it catches `Exception` only."""
        return self.answer is not None and fault.is_exception

    def expected(self, fault: Fault, *, layer: str | None = None, converted: int = 500) -> Expected:
        """Return the outcome for the request's span.

        Args:
            fault: what is raised.
            layer: name of the layer that the error begins in.
            converted: status that the framework gives an error which leaves this layer; a
                framework that lets it leave the app counts as 500.
        """
        if fault.departure:
            return Expected(event=False)
        status = self.answer if self.answer and self.recovers(fault) else converted
        translated = self.translates and fault.is_exception
        return Expected(
            layer=layer,
            handled=status < 500,
            status="UNSET" if status < 500 else "ERROR",
            also=(TRANSLATED_TYPE,) if translated else (),
        )


RAISE_BEFORE = Action("raise_before", raises=True, proceeds=False)
RAISE_AFTER = Action("raise_after", raises=True)
SWALLOW = Action("swallow", answer=200)
REFUSE = Action("refuse", answer=409)
CONVERT = Action("convert", answer=503)
TRANSLATE = Action("translate", translates=True)
RERAISE = Action("reraise")

ACTIONS = (RAISE_BEFORE, RAISE_AFTER, SWALLOW, REFUSE, CONVERT, TRANSLATE, RERAISE)
RAISING = tuple(action for action in ACTIONS if action.raises)
CATCHING = tuple(action for action in ACTIONS if not action.raises)


def perform(
    action: Action, fault: Fault, proceed: Callable[[], R], respond: Callable[[int], R]
) -> R:
    """Do what `action` says, as the body of a synchronous layer."""
    if action.raises:
        if action.proceeds:
            proceed()
        fault_site(fault)
    try:
        return proceed()
    except Exception as error:
        if action.translates:
            raise TranslatedError(TRANSLATED_MESSAGE) from error
        if action.answer is None:
            raise
        return respond(action.answer)


async def perform_async(
    action: Action,
    fault: Fault,
    proceed: Callable[[], Awaitable[R]],
    respond: Callable[[int], Awaitable[R]],
) -> R:
    """Do what `action` says, as the body of an asynchronous layer."""
    if action.raises:
        if action.proceeds:
            await proceed()
        fault_site(fault)
    try:
        return await proceed()
    except Exception as error:
        if action.translates:
            raise TranslatedError(TRANSLATED_MESSAGE) from error
        if action.answer is None:
            raise
        return await respond(action.answer)
