"""The shop's WSGI layers."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from shop import drill
from shop.errors import UnknownTenant

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ASKED = "HTTP_" + drill.HEADER.upper().replace("-", "_")
TENANTS = {"acme", "globex"}
logger = logging.getLogger("shop.access")


class AccessLog:
    """One line a request, with its duration until the response is ready."""

    def __init__(self, app: WSGIApplication) -> None:
        self.app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        started = self.open_line(environ)
        body = self.app(environ, start_response)
        self.write_line(environ, started)
        return body

    def open_line(self, environ: WSGIEnvironment) -> float:
        """Return when the request came in."""
        drill.check("access_log", environ.get(ASKED))
        return time.perf_counter()

    def write_line(self, environ: WSGIEnvironment, started: float) -> None:
        """Log the request."""
        drill.check("access_log.after", environ.get(ASKED))
        took = (time.perf_counter() - started) * 1000
        logger.info("%s %s %.1f ms", environ["REQUEST_METHOD"], environ["PATH_INFO"], took)


class Recovery:
    """Turns an error of the layers inside it into a 503 in JSON."""

    def __init__(self, app: WSGIApplication) -> None:
        self.app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            return self.app(environ, start_response)
        except Exception:
            logger.exception("recovered")
            start_response("503 Service Unavailable", [("content-type", "application/json")])
            return [json.dumps({"error": "please try again"}).encode()]


class Tenant:
    """Puts the tenant of the `x-tenant` header into the environ."""

    def __init__(self, app: WSGIApplication) -> None:
        self.app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["shop.tenant"] = self.find_tenant(environ)
        return self.app(environ, start_response)

    def find_tenant(self, environ: WSGIEnvironment) -> str | None:
        """Return the tenant, None for a request that names none.

        Raises:
            UnknownTenant: the header names nobody.
        """
        drill.check("tenant", environ.get(ASKED))
        name: str | None = environ.get("HTTP_X_TENANT")
        if name is not None and name not in TENANTS:
            raise UnknownTenant(f"no tenant is called {name!r}")
        return name
