"""What an app needs and does not have: a package, a database, a service."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from typing import Any

from ..chain import ancestors, links, members
from ..text import message_of, one_line, type_name

# What drivers raise when nobody answers at the other end, or nothing is prepared there.
_SERVICE_ERRORS = frozenset(
    {
        "OperationalError",
        "ProgrammingError",
        "InterfaceError",
        "ConnectionError",
        "ConnectionRefusedError",
        "ConnectionDoesNotExistError",
        "ConnectionTimeout",
        "ServerSelectionTimeoutError",
        "AutoReconnect",
        "PoolTimeout",
        "TimeoutError",
        "NoBrokersAvailable",
        "AMQPConnectionError",
        "gaierror",
    }
)
_FRAMEWORKS = {
    "django": "django",
    "flask": "flask",
    "starlette": "starlette",
    "fastapi": "fastapi",
    "quart": "quart",
    "werkzeug": "werkzeug",
    "aiohttp": "aiohttp",
    "litestar": "litestar",
}


def missing_service(exc: BaseException) -> str:
    """Return what `exc` says of a database or service that is not there, "" if it says nothing."""
    for each in _related(exc):
        if type(each).__name__ in _SERVICE_ERRORS:
            return (
                f"the app needs a database or service that is not there "
                f"({type_name(each)}: {one_line(message_of(each), 200)}); start or prepare it, "
                f"or point the app at one that is"
            )
    return ""


def _related(exc: BaseException) -> Iterator[BaseException]:
    yield exc
    for link in links(exc):
        yield link.exc
    yield from ancestors(exc)
    yield from members(exc)


def missing_module(name: str, who: str) -> str:
    """Return the sentence for a module `name` that `who` needs, and that is not installed."""
    top = name.partition(".")[0]
    if top in _FRAMEWORKS:
        return f"{who} needs {top}, which is not installed here: pip install {_FRAMEWORKS[top]}"
    return f"{who} needs the module {name!r}, which is not installed for {sys.executable}"


class LoggedErrors:
    """Remembers the last error that was logged with its traceback: how frameworks tell of a 500.

    Attributes:
        last: that error; None for none since `forget`.
    """

    def __init__(self) -> None:
        self.last: BaseException | None = None
        make = logging.getLogRecordFactory()

        def record(*args: Any, **kwargs: Any) -> logging.LogRecord:
            made = make(*args, **kwargs)
            if made.exc_info and made.exc_info[1] is not None:
                self.last = made.exc_info[1]
            return made

        logging.setLogRecordFactory(record)

    def forget(self) -> None:
        """Forget it: the next request begins."""
        self.last = None
