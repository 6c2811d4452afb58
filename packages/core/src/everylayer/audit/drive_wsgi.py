"""Requests to a WSGI app. Source: PEP 3333."""

from __future__ import annotations

import contextvars
import re
import sys
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any
from wsgiref.util import FileWrapper

from . import sending
from .model import Answer, Request
from .response import BAD_HEADERS, BAD_STATUS, HEADERS_LATE, STARTED_TWICE, Response

# Those that a server decides on, and an application must not set.
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_STATUS = re.compile(r"[1-9][0-9]{2} [^\x00-\x1f\x7f]*\Z")
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")


class WSGIDriver:
    """Sends requests to a WSGI app, each in a context of its own."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self.leftover = ""
        self._app = app
        self._threads = sending.Threads()

    def send(self, request: Request) -> Answer:
        response = Response(request.method)
        contextvars.copy_context().run(self._send, request, response)
        self._threads.settle()
        return response.answer()

    def close(self) -> None:
        """Do nothing: a WSGI app is not told of its end."""

    def _send(self, request: Request, response: Response) -> None:
        exchange = _Exchange(response)
        try:
            exchange.run(self._app, environ_of(request))
        except BaseException as exc:  # noqa: BLE001 - a server would not live on all of them
            response.escape(exc)
        exchange.compare()
        self.leftover = sending.current_span_id()


class _Exchange:
    """The server's side of one request."""

    def __init__(self, response: Response) -> None:
        self._response = response
        self._given: Any = None

    def run(self, app: Callable[..., Iterable[bytes]], environ: dict[str, Any]) -> None:
        body = app(environ, self.start)
        try:
            for chunk in body:
                self._response.body(chunk)
        except BaseException as exc:
            # What close() raises on top must not take its place.
            self._response.escape(exc)
            raise
        finally:
            close = getattr(body, "close", None)
            if close is not None:
                close()

    def start(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], object]:
        response = self._response
        if exc_info is not None:
            try:
                if response.sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # No cycle through this frame.
        elif response.status is not None:
            response.breach(STARTED_TWICE)
        self._given = headers
        response.status = self._status(status)
        response.headers = self._headers(headers)
        return response.body

    def compare(self) -> None:
        """Note headers that were changed after they had been handed over."""
        if self._given is not None and self._headers(self._given) != self._response.headers:
            self._response.breach(HEADERS_LATE)

    def _status(self, status: Any) -> int:
        if not isinstance(status, str) or not _STATUS.match(status):
            self._response.breach(BAD_STATUS)
        digits = re.match(r"\d{3}", str(status))
        return int(digits.group()) if digits else 0

    def _headers(self, headers: Any) -> list[tuple[str, str]]:
        found = []
        if type(headers) is not list:
            self._response.breach(BAD_HEADERS)
        for pair in headers:
            name, value = pair
            if not (
                type(pair) is tuple
                and isinstance(name, str)
                and isinstance(value, str)
                and _NAME.match(name)
                and name.lower() not in _HOP_BY_HOP
                and not re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value)
            ):
                self._response.breach(BAD_HEADERS)
            found.append((str(name), str(value)))
        return found


def environ_of(request: Request) -> dict[str, Any]:
    """Return the environ that a server would make of `request`."""
    path, query = sending.split_path(request.path)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path.decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
    }
    if request.method not in ("GET", "HEAD", "OPTIONS"):
        environ["CONTENT_LENGTH"] = "0"
    for name, value in sending.headers_of(request):
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
            value = f"{environ[key]},{value}" if key in environ else value
        environ[key] = value
    return environ
