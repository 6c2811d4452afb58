"""An in-process WSGI client."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Sequence
from typing import Any

from . import canary

_server_log = logging.getLogger("gunicorn.error")
_ENVIRON = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "QUERY_STRING": "",
    "SERVER_NAME": "127.0.0.1",
    "SERVER_PORT": "8000",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "REMOTE_ADDR": "127.0.0.1",
    "REMOTE_PORT": "50000",
    "HTTP_HOST": "127.0.0.1:8000",
    "HTTP_USER_AGENT": "bench",
    "HTTP_ACCEPT": "*/*",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": True,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
}


class Client:
    """Sends requests one after the other, as a server in the same process would."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def run(self, paths: Sequence[str]) -> int:
        """Request each of `paths`; return how many of them failed."""
        return sum(request(self._app, path) for path in paths)


def request(app: Any, path: str) -> bool:
    """Send one GET request and read its response; tell whether the answer was a 5xx."""
    started = "500"

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        nonlocal started
        started = status
        return lambda data: None

    environ: dict[str, Any] = {
        **_ENVIRON,
        "PATH_INFO": path,
        "RAW_URI": path,
        "wsgi.input": io.BytesIO(),
    }
    if path == "/storm":
        environ["bench.canary"] = canary.Canary("request")
    try:
        body = app(environ, start_response)
        try:
            for _ in body:
                pass
        finally:
            if hasattr(body, "close"):
                body.close()
    except Exception as exc:
        # As gunicorn does with what reaches it.
        _server_log.error("Error handling request %s", path, exc_info=exc)
        return True
    return started >= "5"
