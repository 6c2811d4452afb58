"""What a record of `record_json` says of the request, and of the service that it had asked."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from . import text
from .boundaries.arrival import Arrival
from .boundaries.error_context import MAX_HOPS, MAX_TEXT, ErrorContext, Hop
from .boundaries.received import Received

_MAX_COUNT = 9999
_ID = re.compile(r"[A-Za-z0-9._:/+=~-]{0,128}")
_HEX = {
    "trace_id": re.compile("(?!0{32})[0-9a-f]{32}"),
    "span_id": re.compile("(?!0{16})[0-9a-f]{16}"),
}
_TEXTS = ("type", "layer", "service", "message")

# Makes the error for a field that is not what it must be.
Wrong = Callable[[str, str], Exception]


def came_to(came: Arrival | None) -> dict[str, Any] | None:
    if came is None:
        return None
    # Its trace is that of `origin`.
    return {name: value for name, value in came._asdict().items() if name != "traceparent"}


def came_from(found: Any, wrong: Wrong) -> Arrival | None:
    """Return what the request said of itself, None where the record does not say."""
    if found is None:
        return None
    if not isinstance(found, dict):
        raise wrong("came", "an object")
    request_id, trusted = found.get("request_id", ""), found.get("trusted", False)
    if not (isinstance(request_id, str) and _ID.fullmatch(request_id)):
        raise wrong("came.request_id", "an identifier")
    if not isinstance(trusted, bool):
        raise wrong("came.trusted", "true or false")
    return Arrival(request_id, _count(found, "came.attempt", wrong), trusted)


def upstream_to(upstream: Received | None) -> dict[str, Any] | None:
    if upstream is None:
        return None
    context = upstream.context
    hops = [hop._asdict() for hop in context.hops]
    return {"hops": hops, "more": context.more, "attempts": upstream.attempts}


def upstream_from(found: Any, wrong: Wrong) -> Received | None:
    """Return what another service said of the error, None where the record does not say."""
    if found is None:
        return None
    hops = found.get("hops") if isinstance(found, dict) else None
    if not (isinstance(hops, list) and 0 < len(hops) <= MAX_HOPS):
        raise wrong("upstream.hops", f"a list of 1 to {MAX_HOPS} objects")
    context = ErrorContext(
        tuple(_hop(hop, wrong) for hop in hops), _count(found, "upstream.more", wrong)
    )
    return Received(context, _count(found, "upstream.attempts", wrong))


def _hop(found: Any, wrong: Wrong) -> Hop:
    if not isinstance(found, dict) or not found.get("type"):
        raise wrong("upstream.hops", "a list of objects with a type")
    values: dict[str, Any] = {}
    for name in _TEXTS:
        value = found.get(name, "")
        if not isinstance(value, str):
            raise wrong(f"upstream.hops.{name}", "a string")
        values[name] = text.cut(value, 4 * MAX_TEXT)
    for name, pattern in _HEX.items():
        value = found.get(name, "")
        if not isinstance(value, str) or (value and not pattern.fullmatch(value)):
            raise wrong(f"upstream.hops.{name}", "hexadecimal digits in lower case, not all zero")
        values[name] = value
    return Hop(attempt=_count(found, "upstream.hops.attempt", wrong), **values)


def _count(found: dict[str, Any], name: str, wrong: Wrong) -> int:
    value = found.get(name.rpartition(".")[2], 0)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_COUNT:
        raise wrong(name, f"a whole number from 0 to {_MAX_COUNT}")
    return value
