"""What a gRPC status means to rules that speak HTTP.

Source: google/rpc/code.proto, whose mapping makes exactly those codes a 5xx that semantic
conventions call errors of a server (docs/rpc/grpc.md).
"""

from __future__ import annotations

from typing import Any

from grpc import StatusCode

_HTTP = {
    StatusCode.OK: 200,
    StatusCode.CANCELLED: 499,
    StatusCode.UNKNOWN: 500,
    StatusCode.INVALID_ARGUMENT: 400,
    StatusCode.DEADLINE_EXCEEDED: 504,
    StatusCode.NOT_FOUND: 404,
    StatusCode.ALREADY_EXISTS: 409,
    StatusCode.PERMISSION_DENIED: 403,
    StatusCode.RESOURCE_EXHAUSTED: 429,
    StatusCode.FAILED_PRECONDITION: 400,
    StatusCode.ABORTED: 409,
    StatusCode.OUT_OF_RANGE: 400,
    StatusCode.UNIMPLEMENTED: 501,
    StatusCode.INTERNAL: 500,
    StatusCode.UNAVAILABLE: 503,
    StatusCode.DATA_LOSS: 500,
    StatusCode.UNAUTHENTICATED: 401,
}
_BY_NUMBER = {code.value[0]: code for code in StatusCode}


def http_status(code: StatusCode) -> int:
    """Return the HTTP status that stands for `code`."""
    return _HTTP[code]


def is_server_error(code: StatusCode) -> bool:
    """Tell whether a server that answers `code` has failed, rather than its client."""
    return _HTTP[code] >= 500


def code_of(value: Any) -> StatusCode | None:
    """Return the code that an app has set, asyncio's servers take its number too; None: none."""
    if value is None or isinstance(value, StatusCode):
        return value
    return _BY_NUMBER.get(value, StatusCode.UNKNOWN)
