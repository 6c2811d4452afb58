"""Requests to an app in this process, and what came of them; nothing goes over a socket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from .adapter import Opened
from .drive_asgi import ASGIDriver
from .drive_wsgi import WSGIDriver
from .model import Answer, Request


class Driver(Protocol):
    """Sends requests to one app.

    Attributes:
        leftover: the span that was still the current one after the last request, in
            hexadecimal; "" for none.
    """

    leftover: str

    def send(self, request: Request) -> Answer:
        """Drive `request` to its end; whatever the app raises is told in the Answer."""

    def close(self) -> None:
        """End the app, as a server that stops does."""


@contextmanager
def driving(opened: Opened) -> Iterator[Driver]:
    """Start the app of `opened`, and end it afterwards.

    Raises:
        TargetError: the app says that it could not start.
    """
    driver: Driver = (
        ASGIDriver(opened.app) if opened.interface == "asgi" else WSGIDriver(opened.app)
    )
    try:
        yield driver
    finally:
        driver.close()
