"""An `ErrorRecord` as JSON, for queues: `docs/schema/error-record-v1.json` describes it."""

from __future__ import annotations

import json
from time import time_ns
from typing import Any, NamedTuple

from opentelemetry import trace
from opentelemetry.trace import SpanContext, TraceFlags

from . import chain, record_parts, settings, text
from .boundaries import received, tenant
from .error_record import Cause, ErrorRecord, build
from .layers import Layer, from_traceback
from .redaction import guard, values

SCHEMA = "everylayer.error-record"
MAJOR, MINOR = 1, 0
# A document beyond this is refused unread, in bytes.
MAX_BYTES = 1 << 20
_MAX_TEXT = 65_536
_MAX_NAME = 2048
_MAX_CAUSES = 64
_MAX_INT = 2**63 - 1
_RELATIONS = ("cause", "context", "member")


class RecordError(ValueError):
    """This is no error record that can be read; the message names what is wrong."""


class Received(NamedTuple):
    """An error record from elsewhere.

    Attributes:
        record: the error.
        origin: the span that it was on, None where it does not say so.
    """

    record: ErrorRecord
    origin: SpanContext | None


def error_to_json(error: BaseException | ErrorRecord, layer: str | None = None) -> str:
    """Return `error` in JSON, redacted and bounded as a span event is, and the current span's ids.

    Args:
        error: an exception, or a record made before.
        layer: name of the part of the app that an exception came from; else its traceback tells.
    """
    span = trace.get_current_span()
    if not isinstance(error, ErrorRecord):
        exc, tb, rules = error, chain.traceback_of(error), settings.current()
        error = build(
            exc,
            tb,
            rules,
            layer=Layer(text.one_line(layer, 200), "app") if layer else from_traceback(tb),
            phase="message",
            handled=False,
            time_ns=time_ns(),
            exact=values.known(span),
            tenant=tenant.tenant() or tenant.of_span(span),
        )
        behind = received.behind(exc, tb)
        if behind is not None:
            redactor = guard.redactor_of(rules.redaction)
            error = error._replace(upstream=behind.redacted(redactor))
    found: dict[str, Any] = {"schema": SCHEMA, "version": f"{MAJOR}.{MINOR}"}
    found.update(error._asdict())
    found["causes"] = [cause._asdict() for cause in error.causes]
    found["upstream"] = record_parts.upstream_to(error.upstream)
    found["came"] = record_parts.came_to(error.came)
    where = error.layer
    found["layer"] = {"name": where.name, "kind": where.kind, "index": where.index}
    # A number of this size is not safe in every reader of JSON.
    found["time_unix_nano"] = str(found.pop("time_ns"))
    here = span.get_span_context()
    if here.is_valid:
        found["origin"] = {
            "trace_id": trace.format_trace_id(here.trace_id),
            "span_id": trace.format_span_id(here.span_id),
            "trace_flags": int(here.trace_flags),
        }
    return json.dumps(found, ensure_ascii=False)


def error_from_json(data: str | bytes) -> Received:
    """Return what `error_to_json` wrote, here or in another version.

    Fields of a later minor version are passed over. Texts are bounded.

    Raises:
        RecordError: it is too large, is no error record, or is of another major version.
    """
    size = len(data) if isinstance(data, bytes) else len(data.encode("utf-8", "backslashreplace"))
    if size > MAX_BYTES:
        raise RecordError(f"an error record of {size} bytes; at most {MAX_BYTES} are read")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise RecordError(f"an error record that is no JSON: {type(exc).__name__}") from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise RecordError(f"no error record: its `schema` is not {SCHEMA!r}")
    _check_version(found.get("version"))
    return Received(_record(found), _origin(found.get("origin")))


def _check_version(version: Any) -> None:
    major = version.partition(".")[0] if isinstance(version, str) else ""
    if major != str(MAJOR):
        raise RecordError(
            f"an error record of version {version!r:.40}; this everylayer reads version {MAJOR}.x"
        )


def _record(found: dict[str, Any]) -> ErrorRecord:
    where = found.get("layer")
    if not isinstance(where, dict):
        raise _wrong("layer", "an object")
    causes = found.get("causes", [])
    if not isinstance(causes, list):
        raise _wrong("causes", "a list")
    handled = found.get("handled")
    if not isinstance(handled, bool):
        raise _wrong("handled", "true or false")
    time = found.get("time_unix_nano")
    if not (isinstance(time, str) and time.isascii() and time.isdigit() and len(time) < 20):
        raise _wrong("time_unix_nano", "a string of digits")
    if int(time) > _MAX_INT:
        raise _wrong("time_unix_nano", f"at most {_MAX_INT}")
    return ErrorRecord(
        type=_text(found, "type", _MAX_NAME),
        message=_text(found, "message", _MAX_TEXT),
        stacktrace=_text(found, "stacktrace", _MAX_TEXT),
        function=_text(found, "function", _MAX_NAME, ""),
        file=_text(found, "file", _MAX_NAME, ""),
        line=_number(found, "line", 0),
        causes=tuple(_cause(cause) for cause in causes[:_MAX_CAUSES]),
        layer=Layer(
            _text(where, "name", _MAX_NAME),
            _text(where, "kind", _MAX_NAME),
            None if where.get("index") is None else _number(where, "index", 0),
        ),
        phase=_text(found, "phase", _MAX_NAME, ""),
        handled=handled,
        time_ns=int(time),
        sentry_event_id=_text(found, "sentry_event_id", _MAX_NAME, ""),
        variables=_text(found, "variables", _MAX_TEXT, ""),
        upstream=record_parts.upstream_from(found.get("upstream"), _wrong),
        came=record_parts.came_from(found.get("came"), _wrong),
        tenant=_tenant(found),
    )


def _tenant(found: dict[str, Any]) -> str:
    name = found.get("tenant", "")
    if name != "" and not tenant.checked(name):
        raise _wrong("tenant", "the name of a tenant")
    return str(name)


def _cause(found: Any) -> Cause:
    if not isinstance(found, dict):
        raise _wrong("causes", "a list of objects")
    relation = found.get("relation")
    if relation not in _RELATIONS:
        raise _wrong("causes.relation", f"one of {', '.join(_RELATIONS)}")
    return Cause(relation, _text(found, "type", _MAX_NAME), _text(found, "message", _MAX_TEXT))


def _origin(found: Any) -> SpanContext | None:
    if found is None:
        return None
    if not isinstance(found, dict):
        raise _wrong("origin", "an object")
    made = SpanContext(
        _hex(found, "trace_id", 32),
        _hex(found, "span_id", 16),
        is_remote=True,
        trace_flags=TraceFlags(_number(found, "trace_flags", 0) & 0xFF),
    )
    if not made.is_valid:
        raise _wrong("origin", "ids that are not zero")
    return made


def _hex(found: dict[str, Any], name: str, digits: int) -> int:
    value = found.get(name)
    if not (isinstance(value, str) and len(value) == digits and set(value) <= _HEX):
        raise _wrong(f"origin.{name}", f"{digits} hexadecimal digits in lower case")
    return int(value, 16)


_HEX = frozenset("0123456789abcdef")


def _text(found: dict[str, Any], name: str, limit: int, default: str | None = None) -> str:
    value = found.get(name, default)
    if not isinstance(value, str):
        raise _wrong(name, "a string")
    return text.cut(value, limit)


def _number(found: dict[str, Any], name: str, default: int) -> int:
    value = found.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_INT:
        raise _wrong(name, "a whole number, not negative")
    return value


def _wrong(name: str, wanted: str) -> RecordError:
    return RecordError(f"an error record whose `{name}` is not {wanted}")
