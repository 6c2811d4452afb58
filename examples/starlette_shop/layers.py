"""The shop's own layers: two plain ASGI classes, a `BaseHTTPMiddleware` and a backend."""

from __future__ import annotations

import logging
import time
import uuid

from starlette.authentication import (
    AuthCredentials,
    AuthenticationBackend,
    AuthenticationError,
    SimpleUser,
)
from starlette.datastructures import Headers
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shop import drill
from shop.errors import UnknownTenant

TOKENS = {"secret": "ada"}
TENANTS = {"acme", "globex"}
logger = logging.getLogger("shop.access")


def is_request_id(value: str) -> bool:
    """Tell whether an incoming `x-request-id` may be kept; a malformed one is a bug in here."""
    return uuid.UUID(value).version == 4


class AccessLogMiddleware:
    """One line a request, with its duration."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = self.open_line(scope)
        await self.app(scope, receive, send)
        self.write_line(scope, started)

    def open_line(self, scope: Scope) -> float:
        """Return when the request came in."""
        drill.check("access_log", Headers(scope=scope).get(drill.HEADER))
        return time.perf_counter()

    def write_line(self, scope: Scope, started: float) -> None:
        """Log the finished request."""
        drill.check("access_log.after", Headers(scope=scope).get(drill.HEADER))
        took = (time.perf_counter() - started) * 1000
        logger.info("%s %s %.1f ms", scope["method"], scope["path"], took)


class RecoveryMiddleware:
    """Turns a back end that is down, or a bad tenant, into a 503 in JSON while it still can."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except (ConnectionError, UnknownTenant):
            if started:
                raise
            logger.exception("recovered")
            response = JSONResponse({"error": "please try again"}, status_code=503)
            await response(scope, receive, send)


class TokenBackend(AuthenticationBackend):
    """Bearer tokens, for Starlette's own AuthenticationMiddleware."""

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser] | None:
        """Return who is calling, None for nobody.

        Raises:
            AuthenticationError: the token has been revoked.
        """
        asked = conn.headers.get(drill.HEADER)
        drill.check("authentication", asked)
        if drill.wants("credentials", asked):
            raise AuthenticationError("token has been revoked")
        user = TOKENS.get(conn.headers.get("authorization", "").removeprefix("Bearer "))
        return (AuthCredentials(["customer"]), SimpleUser(user)) if user else None


class TenantMiddleware(BaseHTTPMiddleware):
    """Puts the tenant of the `x-tenant` header on the request."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Find the tenant, then go on."""
        request.state.tenant = self.find_tenant(request)
        return await call_next(request)

    def find_tenant(self, request: Request) -> str | None:
        """Return the tenant, None for a request that names none.

        Raises:
            UnknownTenant: the header names nobody.
        """
        drill.check("tenant", request.headers.get(drill.HEADER))
        name = request.headers.get("x-tenant")
        if name is not None and name not in TENANTS:
            raise UnknownTenant(f"no tenant is called {name!r}")
        return name


class PricingMiddleware:
    """A layer of one route only: loads the price list."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["prices"] = self.load_prices(Headers(scope=scope).get(drill.HEADER))
        await self.app(scope, receive, send)

    def load_prices(self, asked: str | None) -> dict[str, int]:
        """Return the price of each product, in cents."""
        drill.check("pricing", asked)
        return {"espresso": 990}
