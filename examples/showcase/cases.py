"""What the demo breaks: for each shop, one request for every layer."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from shop import drill

PARTNER = (("origin", "https://partner.example"),)
TOKEN = {"authorization": "Bearer secret"}


@dataclass(frozen=True)
class Case:
    """One request that fails in one layer.

    Attributes:
        layer: where it fails, in words.
        named: what everylayer may call that layer.
        type: expected `exception.type`.
        message: expected `exception.message`; what it starts with, where it ends in a path.
        where: a function that the stack must name.
        path: what is asked for.
        point: value of the `x-fail` header.
        headers: further request headers.
        after: it fails once the response has begun; the client may see all of it.
    """

    layer: str
    named: tuple[str, ...]
    type: str
    message: str
    where: str
    path: str
    point: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    after: bool = False

    @property
    def request_headers(self) -> dict[str, str]:
        """Everything the client sends, tracing apart."""
        failing = {drill.HEADER: self.point} if self.point else {}
        return {**TOKEN, **failing, **dict(self.headers)}


def drilled(
    layer: str,
    named: str,
    point: str,
    where: str,
    path: str = "/orders/7",
    headers: tuple[tuple[str, str], ...] = (),
    *,
    after: bool = False,
) -> Case:
    """Return a case whose error is that of a fire drill; `named` may list several names."""
    error = drill.DRILLS[point]()
    module = type(error).__module__
    name = type(error).__qualname__
    kind = name if module == "builtins" else f"{module}.{name}"
    return Case(layer, tuple(named.split()), kind, str(error), where, path, point, headers, after)


def _missing_file(layer: str, named: str) -> Case:
    return Case(
        layer,
        (named,),
        "FileNotFoundError",
        "[Errno 2] No such file or directory: ",
        "get_response",
        "/static/old.css",
    )


# The view, or the generator that it handed out.
STREAM = "report rows"
SOLD_OUT = "shop.errors.OutOfStock"
NO_ANSWER = "shop.errors.InventoryUnavailable"
# Before 3.11, anyio raises the group of the `exceptiongroup` package.
GROUP = "ExceptionGroup" if sys.version_info >= (3, 11) else "exceptiongroup.ExceptionGroup"
NO_ANSWER_TEXT = "inventory cannot tell the stock of espresso"

DJANGO = (
    _missing_file("WhiteNoiseMiddleware (whitenoise)", "WhiteNoiseMiddleware"),
    drilled(
        "CorsMiddleware (corsheaders)",
        "CorsMiddleware",
        "cors",
        "partner_may_call",
        "/report.csv",
        PARTNER,
    ),
    drilled("AccessLogMiddleware, request", "AccessLogMiddleware", "access_log", "open_line"),
    drilled(
        "AccessLogMiddleware, response", "AccessLogMiddleware", "access_log.after", "write_line"
    ),
    drilled(
        "RecoveryMiddleware itself", "RecoveryMiddleware", "error_page", "problem", "/stock/tea"
    ),
    drilled("RateLimitMiddleware, process_view", "RateLimitMiddleware", "limits", "process_view"),
    drilled("AuthenticationMiddleware", "AuthenticationMiddleware", "authentication", "identify"),
    Case(
        "AuthenticationMiddleware, denied",
        ("AuthenticationMiddleware",),
        "django.core.exceptions.PermissionDenied",
        "token has been revoked",
        "identify",
        "/orders/7",
        "credentials",
    ),
    drilled("tenant_middleware", "tenant_middleware.middleware", "tenant", "find_tenant"),
    drilled("view", "order", "view", "basket_total"),
    Case("view, recovered to 409", ("stock",), SOLD_OUT, "no tea is left", "stock", "/stock/tea"),
    Case(
        "view, other service down",
        ("stock",),
        NO_ANSWER,
        NO_ANSWER_TEXT,
        "in_stock",
        "/stock/espresso",
        "inventory",
    ),
    drilled("template, after the view", "receipt", "render", "total", "/orders/7/receipt"),
    drilled("streaming body", STREAM, "stream", "rows", "/report.csv"),
)

FLASK = (
    _missing_file("WhiteNoise (WSGI)", "WhiteNoise"),
    drilled("AccessLog (WSGI), request", "AccessLog", "access_log", "open_line"),
    drilled("AccessLog (WSGI), response", "AccessLog", "access_log.after", "write_line"),
    drilled("Tenant (WSGI), recovered to 503", "Tenant", "tenant", "find_tenant"),
    drilled("before_request authenticate", "authenticate", "authentication", "authenticate"),
    Case(
        "before_request, abort(403)",
        ("authenticate",),
        "werkzeug.exceptions.Forbidden",
        "403 Forbidden: token has been revoked",
        "authenticate",
        "/orders/7",
        "credentials",
    ),
    drilled("before_request count_call", "count_call", "limits", "count_call"),
    drilled("view", "order", "view", "basket_total"),
    Case("view, answered with 409", ("stock",), SOLD_OUT, "no tea is left", "stock", "/stock/tea"),
    Case(
        "view, other service down",
        ("stock",),
        NO_ANSWER,
        NO_ANSWER_TEXT,
        "in_stock",
        "/stock/espresso",
        "inventory",
    ),
    drilled("error handler itself", "answer", "error_page", "answer", "/stock/tea"),
    drilled("template", "receipt", "render", "total", "/orders/7/receipt"),
    drilled("after_request audit", "audit", "audit", "audit"),
    drilled("streaming body", STREAM, "stream", "rows", "/report.csv"),
    # Last: stock leaves this request's span open, and the thread's next request joins its trace.
    drilled("teardown_request release", "release", "release", "release"),
)

STARLETTE = (
    Case(
        "CorrelationIdMiddleware",
        ("CorrelationIdMiddleware",),
        "ValueError",
        "badly formed hexadecimal UUID string",
        "is_request_id",
        "/orders/7",
        headers=(("x-request-id", "not-a-uuid"),),
    ),
    drilled("AccessLogMiddleware, request", "AccessLogMiddleware", "access_log", "open_line"),
    drilled(
        "AccessLogMiddleware, response",
        "AccessLogMiddleware",
        "access_log.after",
        "write_line",
        after=True,
    ),
    drilled(
        "AuthenticationMiddleware backend",
        "AuthenticationMiddleware",
        "authentication",
        "authenticate",
    ),
    Case(
        "AuthenticationMiddleware, denied",
        ("AuthenticationMiddleware",),
        "starlette.authentication.AuthenticationError",
        "token has been revoked",
        "authenticate",
        "/orders/7",
        "credentials",
    ),
    drilled("TenantMiddleware, recovered", "TenantMiddleware", "tenant", "find_tenant"),
    drilled("PricingMiddleware of a route", "PricingMiddleware", "pricing", "load_prices"),
    drilled("endpoint", "order", "view", "basket_total"),
    Case(
        "endpoint, answered with 409", ("stock",), SOLD_OUT, "no tea is left", "stock", "/stock/tea"
    ),
    Case(
        "endpoint, other service down",
        ("stock",),
        NO_ANSWER,
        NO_ANSWER_TEXT,
        "in_stock_async",
        "/stock/espresso",
        "inventory",
    ),
    drilled("exception handler itself", "answer", "error_page", "answer", "/stock/tea"),
    Case(
        "task group of an endpoint",
        ("offers",),
        GROUP,
        "unhandled errors in a TaskGroup (2 sub-exceptions)",
        "ask",
        "/offers",
        "render",
    ),
    drilled("background task", "mail_receipt", "background", "mail_receipt", after=True),
    drilled("streaming body", STREAM, "stream", "rows", "/report.csv", after=True),
)


def _rpc_cases(refused: str) -> tuple[Case, ...]:
    """Return the cases of a gRPC shop; `refused` is the type that its `abort` raises."""
    order = 'Order {"order": 7}'
    stock = 'Stock {"sku": "tea"}'
    wrong = 'Order {"order": "seven"}'
    delivery = 'Restock {"count": 2}, {"count": 3}'
    return (
        drilled("AccessLog, before the call", "AccessLog", "access_log", "open_line", order),
        drilled("AccessLog, after it", "AccessLog", "access_log.after", "write_line", order),
        drilled("Recovery itself", "Recovery", "error_page", "problem", stock),
        drilled("Authentication", "Authentication", "authentication", "identify", order),
        Case(
            "Authentication, abort(UNAUTHENTICATED)",
            ("Authentication",),
            refused,
            "",
            "refuse",
            order,
            "credentials",
        ),
        drilled("RateLimit, recovered", "RateLimit", "limits", "count_call", order),
        Case(
            "Validation, recovered to INVALID_ARGUMENT",
            ("Validation",),
            "shop.errors.InvalidRequest",
            "order is not a number",
            "checked",
            wrong,
        ),
        drilled("servicer, recovered", "Shop.order", "view", "basket_total", order),
        Case(
            "servicer, recovered to FAILED_PRECONDITION",
            ("Shop.stock",),
            SOLD_OUT,
            "no tea is left",
            "stock",
            stock,
        ),
        Case(
            "servicer, other service down",
            ("Shop.stock",),
            NO_ANSWER,
            NO_ANSWER_TEXT,
            "in_stock",
            'Stock {"sku": "espresso"}',
            "inventory",
        ),
        drilled("response stream, half-way", "Shop.report", "stream", "rows", "Report {}"),
        Case(
            "request stream, in Validation",
            ("Validation",),
            "shop.errors.InvalidRequest",
            "count is not a number",
            "each",
            'Restock {"count": 2}, {"count": "three"}',
        ),
        drilled("servicer of a request stream", "Shop.restock", "restock", "restock", delivery),
        drilled(
            "both streams, half-way",
            "Shop.basket",
            "basket",
            "basket",
            'Basket {"count": 2}, {"count": 3}',
        ),
    )


CASES: Mapping[str, tuple[Case, ...]] = {
    "django": DJANGO,
    "flask": FLASK,
    "starlette": STARLETTE,
    "grpc": _rpc_cases("Exception"),
    "grpc-aio": _rpc_cases("grpc._cython.cygrpc.AbortError"),
}
