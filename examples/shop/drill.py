"""Fire drill: `x-fail: <point>` makes the layer that owns this point fail.

Stands for what happens by itself in production: a directory that is down, a full disk, a bug.
"""

from __future__ import annotations

from collections.abc import Callable

from .errors import UnknownTenant

HEADER = "x-fail"

DRILLS: dict[str, Callable[[], Exception]] = {
    "access_log": lambda: OSError(28, "No space left on device: access.log"),
    "access_log.after": lambda: ValueError("I/O operation on closed file: access.log"),
    "audit": lambda: TimeoutError("audit trail did not answer in 2 s"),
    "authentication": lambda: ConnectionError("identity provider refused the connection"),
    "background": lambda: ConnectionError("mail relay refused the receipt for order 7"),
    "basket": lambda: LookupError("the article has no price any more"),
    "cors": lambda: LookupError("no CORS rules for this partner"),
    "error_page": lambda: KeyError("support_url"),
    "limits": lambda: RuntimeError("rate limit table is locked"),
    "pricing": lambda: ZeroDivisionError("price list has no currencies"),
    "release": lambda: RuntimeError("connection returned to the pool twice"),
    "render": lambda: OverflowError("the total does not fit on the receipt"),
    "restock": lambda: TimeoutError("the warehouse did not answer in 2 s"),
    "stream": lambda: ConnectionResetError("report cursor was closed by the database"),
    "tenant": lambda: UnknownTenant("no tenant is called 'acme'"),
    "view": lambda: ZeroDivisionError("division by zero in the basket total"),
}


def check(point: str, asked: str | None) -> None:
    """Fail here when the request asks for it.

    Args:
        point: the name of this place, a key of `DRILLS`.
        asked: the request's `x-fail` header.
    """
    if asked == point:
        error = DRILLS[point]()
        raise error


def wants(point: str, asked: str | None) -> bool:
    """Tell whether the request asks for `point`, where the layer has an error of its own."""
    return asked == point
