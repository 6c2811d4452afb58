"""What runs around every view: authentication, counting, audit, clean-up, error handlers."""

from __future__ import annotations

from flask import Flask, Response, abort, g, jsonify, request
from flask.typing import ResponseReturnValue

from shop import drill
from shop.errors import STATUS, ShopError

TOKENS = {"secret": "ada"}
OPEN_PATHS = ("/health",)


def asked() -> str | None:
    """Return which point of failure the request asks for."""
    return request.headers.get(drill.HEADER)


def authenticate() -> ResponseReturnValue | None:
    """Identify the caller by bearer token."""
    if request.path in OPEN_PATHS:
        return None
    drill.check("authentication", asked())
    if drill.wants("credentials", asked()):
        abort(403, "token has been revoked")
    g.user = TOKENS.get(request.headers.get("authorization", "").removeprefix("Bearer "))
    if g.user is None:
        return jsonify(error="a bearer token is needed"), 401
    return None


def count_call() -> None:
    """Charge the call to the caller's limit."""
    drill.check("limits", asked())


def audit(response: Response) -> Response:
    """Write the outcome to the audit trail."""
    drill.check("audit", asked())
    return response


def release(error: BaseException | None) -> None:
    """Give the request's connection back to the pool."""
    drill.check("release", asked())


def answer(error: ShopError) -> ResponseReturnValue:
    """Answer the shop's own errors as JSON."""
    drill.check("error_page", asked())
    return jsonify(error=str(error)), STATUS.get(type(error), 500)


def init_app(app: Flask) -> None:
    """Register everything in this module."""
    app.before_request(authenticate)
    app.before_request(count_call)
    app.after_request(audit)
    app.teardown_request(release)
    app.register_error_handler(ShopError, answer)
