"""Requests to an app in this process, and what came of them; WSGI and ASGI need no socket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .adapter import Driver, Opened
from .drive_asgi import ASGIDriver
from .drive_wsgi import WSGIDriver


@contextmanager
def driving(opened: Opened) -> Iterator[Driver]:
    """Start the app of `opened`, and end it afterwards.

    Raises:
        TargetError: the app says that it could not start.
    """
    driver = _driver(opened)
    try:
        yield driver
    finally:
        driver.close()


def _driver(opened: Opened) -> Driver:
    if opened.driver is not None:
        return opened.driver()
    return ASGIDriver(opened.app) if opened.interface == "asgi" else WSGIDriver(opened.app)
