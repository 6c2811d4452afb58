"""The error context as trailing metadata of a failing RPC, where the setting asks for it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from everylayer.boundaries import answer, arrival
from everylayer.failsafe import contained
from everylayer.ledger import Ledger
from everylayer.settings import Settings

from .request import scope_of

if TYPE_CHECKING:
    from .call import Call

# What gRPC takes as a key of text; it keeps those that begin as its own.
_KEY = re.compile(r"(?!grpc-)(?!.*-bin$)[0-9a-z_.-]+")


def tells(settings: Settings) -> bool:
    """Tell whether the setting `error_context` asks for anything that gRPC can carry."""
    return settings.error_context != "off" and bool(_KEY.fullmatch(settings.error_context_header))


@contained
def settle(call: Call, status: int) -> None:
    """Take what a failing RPC says of itself, and tell its client where the error began.

    Args:
        call: still with its context, and with its errors.
        status: what stands for the code that the client gets.
    """
    arrival.note(call, scope_of(call.method, call.metadata, call.context))
    if not answer.due(call, status) or not tells(call.settings):
        return
    ask = getattr(call.context, "trailing_metadata", None)
    if ask is None:
        return  # What the app has set must not be lost.
    given = tuple(ask() or ())
    added = with_context(call, status, given)
    if added is not given:
        call.context.set_trailing_metadata(added)


def with_context(
    ledger: Ledger, status: int, given: tuple[tuple[str, Any], ...]
) -> tuple[tuple[str, Any], ...]:
    """Return `given`, the trailing metadata, with the error context; `given` itself without one."""
    key = ledger.settings.error_context_header
    present = next((value for name, value in given if name == key), "")
    value = answer.value_for(ledger, status, present if isinstance(present, str) else "")
    if value is None:
        return given
    return (*((name, kept) for name, kept in given if name != key), (key, value))
