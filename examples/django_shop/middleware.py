"""The shop's own layers."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse

from shop import drill
from shop.errors import STATUS, UnknownTenant

GetResponse = Callable[[HttpRequest], HttpResponseBase]
TOKENS = {"secret": "ada"}
TENANTS = {"acme", "globex"}
OPEN_PATHS = ("/health", "/static/")
logger = logging.getLogger("shop.access")


def asked(request: HttpRequest) -> str | None:
    """Return which point of failure the request asks for."""
    return request.headers.get(drill.HEADER)


class AccessLogMiddleware:
    """One line a request, with its duration."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started = self.open_line(request)
        response = self.get_response(request)
        self.write_line(request, response, started)
        return response

    def open_line(self, request: HttpRequest) -> float:
        """Return when the request came in."""
        drill.check("access_log", asked(request))
        return time.perf_counter()

    def write_line(self, request: HttpRequest, response: HttpResponseBase, started: float) -> None:
        """Log the finished request."""
        drill.check("access_log.after", asked(request))
        took = (time.perf_counter() - started) * 1000
        logger.info("%s %s %d %.1f ms", request.method, request.path, response.status_code, took)


class RecoveryMiddleware:
    """Answers the shop's own errors as JSON; others go on to Django's error page."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Return the answer to an error of the shop."""
        for kind, status in STATUS.items():
            if isinstance(exception, kind):
                return self.problem(request, exception, status)
        return None

    def problem(self, request: HttpRequest, exception: Exception, status: int) -> HttpResponse:
        """Describe `exception` to the client."""
        drill.check("error_page", asked(request))
        return JsonResponse({"error": str(exception)}, status=status)


class RateLimitMiddleware:
    """Counts calls for each view."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(
        self,
        request: HttpRequest,
        view: object,
        args: tuple[object, ...],
        kwargs: dict[str, object],
    ) -> None:
        """Charge the call to the view that will run."""
        drill.check("limits", asked(request))


class AuthenticationMiddleware:
    """Bearer tokens; health checks and static files are open."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path.startswith(OPEN_PATHS):
            return self.get_response(request)
        user = self.identify(request)
        if user is None:
            return JsonResponse({"error": "a bearer token is needed"}, status=401)
        request.META["shop.user"] = user
        return self.get_response(request)

    def identify(self, request: HttpRequest) -> str | None:
        """Return who is calling.

        Raises:
            PermissionDenied: the token has been revoked.
        """
        drill.check("authentication", asked(request))
        if drill.wants("credentials", asked(request)):
            raise PermissionDenied("token has been revoked")
        return TOKENS.get(request.headers.get("authorization", "").removeprefix("Bearer "))


def tenant_middleware(get_response: GetResponse) -> GetResponse:
    """Put the tenant of the `x-tenant` header on the request."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        request.META["shop.tenant"] = find_tenant(request)
        return get_response(request)

    return middleware


def find_tenant(request: HttpRequest) -> str | None:
    """Return the tenant, None for a request that names none.

    Raises:
        UnknownTenant: the header names nobody.
    """
    drill.check("tenant", asked(request))
    name = request.headers.get("x-tenant")
    if name is not None and name not in TENANTS:
        raise UnknownTenant(f"no tenant is called {name!r}")
    return name
