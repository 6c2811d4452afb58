"""Spans of a trace file in OTLP JSON, as exporters and the Collector's file exporter write it.

Format: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding. What protobuf's own JSON
makes of the same message (base64 ids, snake_case, names of enum values) is read as well.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any

from ...text import cut
from ..model import SpanData, SpanEvent
from .limits import MAX_DEPTH, MAX_SPANS, MAX_TEXT, UnreadableError

Json = dict[str, Any]

_KINDS = ("INTERNAL", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_STATUSES = ("UNSET", "OK", "ERROR")
_CAPITAL = re.compile("[A-Z]")
_LEFT_OUT = "[nested too deep]"


def spans_of(values: list[Any]) -> tuple[SpanData, ...]:
    """Return the spans of all traces in `values`, each an ExportTraceServiceRequest or a list.

    A span's attributes begin with the `service.name` of its resource. Requests of other signals
    are passed over.

    Raises:
        UnreadableError: there is no span, there are too many, or one makes no sense.
    """
    found: list[SpanData] = []
    for request in _requests(values):
        for resource in _list(request, "resourceSpans"):
            service = _service(_dict(resource, "resource"))
            for scope in _scopes(resource):
                found += [_span(span, service) for span in _list(scope, "spans")]
                if len(found) > MAX_SPANS:
                    raise UnreadableError(f"it holds more than {MAX_SPANS:,} spans")
    if not found:
        raise UnreadableError("it holds no spans in OTLP JSON")
    return tuple(found)


def _requests(values: list[Any]) -> Iterator[Json]:
    for value in values:
        for request in value if isinstance(value, list) else [value]:
            if not isinstance(request, dict):
                raise UnreadableError("it is JSON, but no trace in OTLP")
            yield request


def _scopes(resource: Json) -> list[Json]:
    # The name until 2022, which older files still have.
    return _list(resource, "scopeSpans") + _list(resource, "instrumentationLibrarySpans")


def _get(owner: Json, key: str) -> Any:
    """Return the value of `key` in camelCase or snake_case, None for none."""
    value = owner.get(key)
    return owner.get(_CAPITAL.sub(lambda m: f"_{m[0].lower()}", key)) if value is None else value


def _list(owner: Json, key: str) -> list[Json]:
    value = _get(owner, key) or []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise UnreadableError(f"its {key} is not a list of objects")
    return value


def _dict(owner: Json, key: str) -> Json:
    value = _get(owner, key) or {}
    if not isinstance(value, dict):
        raise UnreadableError(f"its {key} is not an object")
    return value


def _text(owner: Json, key: str) -> str:
    value = _get(owner, key)
    return cut(value, MAX_TEXT) if isinstance(value, str) else ""


def _service(resource: Json) -> Json:
    attributes = _attributes(resource)
    return {key: attributes[key] for key in ("service.name",) if key in attributes}


def _span(span: Json, service: Json) -> SpanData:
    status = _dict(span, "status")
    return SpanData(
        name=_text(span, "name"),
        trace_id=_id(span, "traceId", 16),
        span_id=_id(span, "spanId", 8),
        parent_id=_id(span, "parentSpanId", 8),
        kind=_enum(span, "kind", _KINDS, "SPAN_KIND_"),
        start=_integer(span, "startTimeUnixNano"),
        end=_integer(span, "endTimeUnixNano"),
        status=_enum(status, "code", _STATUSES, "STATUS_CODE_"),
        description=_text(status, "message"),
        attributes={**service, **_attributes(span)},
        events=tuple(_event(event) for event in _list(span, "events")),
    )


def _event(event: Json) -> SpanEvent:
    time = _integer(event, "timeUnixNano")
    return SpanEvent(_text(event, "name"), time, _attributes(event))


def _id(span: Json, key: str, size: int) -> str:
    """Return an id of `size` bytes in hexadecimal; only a parent's may be missing."""
    value = _get(span, key) or ""
    found = _bytes_of(value, size) if isinstance(value, str) else None
    if found is None or not (any(found) or key == "parentSpanId"):
        raise UnreadableError(f"it holds a span whose {key} is no id of {size} bytes")
    return found.hex() if any(found) else ""


def _bytes_of(value: str, size: int) -> bytes | None:
    if not value:
        return b""
    try:
        if len(value) == 2 * size:
            return bytes.fromhex(value)
        if len(value) > 2 * size:
            return None
        padded = value + "=" * (-len(value) % 4)
        found = base64.b64decode(padded.translate({45: 43, 95: 47}), validate=True)
    except (ValueError, binascii.Error):
        return None
    return found if len(found) == size else None


def _integer(owner: Json, key: str) -> int:
    """Return an integer of 64 bits, which OTLP JSON writes as a string; 0 for none."""
    value = _get(owner, key)
    try:
        number = 0 if value is None else int(value)
    except (TypeError, ValueError, OverflowError):
        number = -1
    if not 0 <= number < 2**64:
        raise UnreadableError(f"it holds a {key} that is no time")
    return number


def _enum(owner: Json, key: str, names: tuple[str, ...], prefix: str) -> str:
    value = _get(owner, key)
    if isinstance(value, str):
        name = value.removeprefix(prefix)
        if name in names:
            return name
        value = int(value) if value.isdecimal() and len(value) < 4 else 0
    # A value that a later protocol adds is one that we know nothing of.
    known = isinstance(value, int) and 0 <= value < len(names)
    return names[value] if known else names[0]


def _attributes(owner: Json, depth: int = 0) -> dict[str, Any]:
    pairs = _list(owner, "attributes" if depth == 0 else "values")
    return {_text(pair, "key"): _value(_dict(pair, "value"), depth) for pair in pairs}


def _value(value: Json, depth: int) -> Any:
    """Return the Python value of an AnyValue; bytes stay base64, None is an empty one."""
    for key in ("stringValue", "bytesValue"):
        if _get(value, key) is not None:
            return _text(value, key)
    for key in ("boolValue", "intValue", "doubleValue"):
        scalar = _get(value, key)
        if scalar is not None:
            return _scalar(key, scalar)
    if depth >= MAX_DEPTH:
        return _LEFT_OUT
    if _get(value, "arrayValue") is not None:
        items = _list(_dict(value, "arrayValue"), "values")
        return [_value(item, depth + 1) for item in items]
    if _get(value, "kvlistValue") is not None:
        return _attributes(_dict(value, "kvlistValue"), depth + 1)
    return None


def _scalar(key: str, value: Any) -> Any:
    """Return a number or truth value; a double that JSON cannot hold is a string, as is `NaN`."""
    try:
        if key == "intValue":
            return int(value)
        return bool(value) if key == "boolValue" else float(value)
    except (TypeError, ValueError, OverflowError):
        return cut(str(value), MAX_TEXT)
