"""What every driver does around a request, whatever the protocol."""

from __future__ import annotations

import threading
import time
from urllib.parse import unquote_to_bytes

from opentelemetry import trace

from .model import Request

# How long work that a request left behind may go on before it is looked at, seconds.
SETTLE = 0.1
DEFAULT_HEADERS = (("Host", "localhost"), ("User-Agent", "everylayer-audit"), ("Accept", "*/*"))


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
