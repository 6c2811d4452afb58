"""What both shops check and answer, whoever calls it."""

from __future__ import annotations

from collections.abc import Iterator

import grpc

from shop import drill
from shop.errors import InvalidRequest, InventoryUnavailable, OutOfStock, ShopError

from .wire import Message

TOKENS = {"Bearer secret": "ada"}
CODES: dict[type[ShopError], grpc.StatusCode] = {
    InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    OutOfStock: grpc.StatusCode.FAILED_PRECONDITION,
    InventoryUnavailable: grpc.StatusCode.UNAVAILABLE,
}
ROWS: tuple[Message, ...] = (
    {"order": 1, "total": 990},
    {"order": 2, "total": 1980},
    {"order": 3, "total": 2970},
)


def identify(token: str, asked: str) -> str:
    """Return who calls, "" for nobody that is known."""
    drill.check("authentication", asked)
    return "" if drill.wants("credentials", asked) else TOKENS.get(token, "")


def problem(error: Exception, asked: str) -> tuple[grpc.StatusCode, str]:
    """Return what a client is told of `error`."""
    drill.check("error_page", asked)
    if isinstance(error, ShopError):
        return CODES.get(type(error), grpc.StatusCode.INTERNAL), str(error)
    return grpc.StatusCode.INTERNAL, "please try again"


def checked(message: Message) -> Message:
    """Return `message`, whose numbers are numbers.

    Raises:
        InvalidRequest: one is not.
    """
    for name in ("order", "count"):
        if not isinstance(message.get(name, 0), int):
            raise InvalidRequest(f"{name} is not a number")
    return message


def basket_total(number: int, asked: str) -> int:
    """Return what order `number` costs, in cents."""
    drill.check("view", asked)
    return 990 * number


def rows(asked: str) -> Iterator[Message]:
    """Yield the report; its database may go away half way."""
    yield ROWS[0]
    drill.check("stream", asked)
    yield from ROWS[1:]
