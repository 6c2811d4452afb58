"""Requests to an app in this process, and what came of them; nothing goes over a socket."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

from opentelemetry import trace

from ..text import clean, message_of
from .adapter import Opened
from .model import Answer, Request

# Breaches of WSGI and ASGI, as `Answer.hazards` names them.
STARTED_TWICE = "the response was started twice"
HEADERS_LATE = "headers were changed after the response had been started"
AFTER_START = "an exception left the app after the response had started"
BODY_BEFORE_START = "a part of the body was sent before the response was started"
NEVER_STARTED = "no response was started"
NEVER_ENDED = "the response was never ended"
AFTER_END = "a message was sent after the end of the response"
LENGTH = "the body is not as long as its Content-Length says"
NO_BYTES = "a part of the body is not bytes"
BAD_STATUS = "the status is not what the protocol asks for"
BAD_HEADERS = "the headers are not what the protocol asks for"
UNKNOWN_MESSAGE = "a message was sent that the protocol does not know"

# How long work that a request left behind may go on before it is looked at, seconds.
SETTLE = 0.1
DEFAULT_HEADERS = (("Host", "localhost"), ("User-Agent", "everylayer-audit"), ("Accept", "*/*"))


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
    driver: Driver
    if opened.interface == "asgi":
        from .drive_asgi import ASGIDriver

        driver = ASGIDriver(opened.app)
    else:
        from .drive_wsgi import WSGIDriver

        driver = WSGIDriver(opened.app)
    try:
        yield driver
    finally:
        driver.close()


class Response:
    """What came back so far, and what was wrong with it."""

    def __init__(self, method: str) -> None:
        self.method = method
        self.status: int | None = None
        self.headers: list[tuple[str, str]] = []
        self.size = 0
        self.sent = False
        self.escaped = ""
        self._digest = hashlib.sha256()
        self._hazards: dict[str, None] = {}

    def breach(self, hazard: str) -> None:
        """Note a hazard, once."""
        self._hazards[hazard] = None

    def body(self, chunk: Any) -> None:
        """Take a part of the body."""
        if not isinstance(chunk, (bytes, bytearray, memoryview)):
            self.breach(NO_BYTES)
            chunk = str(chunk).encode("utf-8", "backslashreplace")
        if chunk and self.status is None:
            self.breach(BODY_BEFORE_START)
        self.sent = self.sent or bool(chunk)
        self.size += len(chunk)
        self._digest.update(chunk)

    def escape(self, exc: BaseException) -> None:
        """Take an exception that left the app; the first one counts."""
        if not self.escaped:
            self.escaped = f"{type(exc).__qualname__}: {clean(message_of(exc))}"
        if self.status is not None and self.sent:
            self.breach(AFTER_START)

    def answer(self) -> Answer:
        """Return it all, when nothing more will come."""
        if not self.escaped:
            if self.status is None:
                self.breach(NEVER_STARTED)
            elif not self._length_fits():
                self.breach(LENGTH)
        return Answer(
            status=self.status,
            headers=tuple(self.headers),
            body=self._digest.hexdigest() if self.size else "",
            size=self.size,
            escaped=self.escaped,
            hazards=tuple(self._hazards),
        )

    def _length_fits(self) -> bool:
        if self.method == "HEAD" or self.status in (204, 304):
            return True
        said = [value for name, value in self.headers if name.lower() == "content-length"]
        return all(value.strip() == str(self.size) for value in said)


def headers_of(request: Request) -> list[tuple[str, str]]:
    """Return the request's headers, with what every client sends."""
    given = {name.lower() for name, _ in request.headers}
    return [pair for pair in DEFAULT_HEADERS if pair[0].lower() not in given] + [*request.headers]


def split_path(path: str) -> tuple[bytes, str]:
    """Return the path, unquoted, and the query of what a request line names."""
    path, _, query = path.partition("#")[0].partition("?")
    return unquote_to_bytes(path or "/"), query


def current_span_id() -> str:
    """Return the current span's id in hexadecimal, "" for none."""
    context = trace.get_current_span().get_span_context()
    return f"{context.span_id:016x}" if context.is_valid else ""


class Threads:
    """Waits a little for threads that a request has started, once for each."""

    def __init__(self) -> None:
        self._known = set(threading.enumerate())

    def settle(self) -> None:
        """Let new threads go on for `SETTLE` seconds altogether."""
        new = set(threading.enumerate()) - self._known
        until = time.monotonic() + SETTLE
        for thread in new:
            thread.join(max(0.0, until - time.monotonic()))
        self._known |= new
