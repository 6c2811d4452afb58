"""The attributes of one error, the same in every sink (semantic conventions 1.44)."""

from __future__ import annotations

from opentelemetry.util.types import AttributeValue

from ..error_record import ErrorRecord

EXCEPTION_TYPE = "exception.type"
EXCEPTION_MESSAGE = "exception.message"
EXCEPTION_STACKTRACE = "exception.stacktrace"
ERROR_TYPE = "error.type"
CODE_FUNCTION = "code.function.name"
CODE_FILE = "code.file.path"
CODE_LINE = "code.line.number"
LAYER_NAME = "everylayer.layer.name"
LAYER_KIND = "everylayer.layer.kind"
LAYER_INDEX = "everylayer.layer.index"
LAYER_PHASE = "everylayer.layer.phase"
HANDLED = "everylayer.handled"
CHAIN = "everylayer.exception.chain"
LOCALS = "everylayer.exception.locals"
DROPPED = "everylayer.exceptions.dropped"
TENANT = "app.tenant.id"
SENTRY_EVENT = "sentry.event_id"
SENTRY_URL = "sentry.event_url"
REQUEST_ID = "everylayer.request.id"
REQUEST_ATTEMPT = "everylayer.request.attempt"
UPSTREAM = "everylayer.upstream"
LINK = "everylayer.link"

# Of metrics alone.
FRAMEWORK = "everylayer.framework"
OUTCOME = "everylayer.outcome"
DROP_REASON = "everylayer.drop.reason"
PLACEMENT = "everylayer.placement"
TRACE_STATE = "everylayer.trace.state"
REDACTION_RULE = "everylayer.redaction.rule"
FAILURE_PLACE = "everylayer.failure.place"


def of(record: ErrorRecord) -> dict[str, AttributeValue]:
    """Return the attributes of `record`."""
    # Where a limit on attributes is small, the SDK keeps the last ones.
    found: dict[str, AttributeValue] = {}
    if record.variables:
        found[LOCALS] = record.variables
    if record.causes:
        found[CHAIN] = tuple(f"{cause.relation}: {cause.type}" for cause in record.causes)
    if record.function:
        found[CODE_FUNCTION] = record.function
        found[CODE_FILE] = record.file
        found[CODE_LINE] = record.line
    if record.phase:
        found[LAYER_PHASE] = record.phase
    if record.layer.index is not None:
        found[LAYER_INDEX] = record.layer.index
    found.update(_around(record))
    if record.tenant:
        found[TENANT] = record.tenant
    if record.sentry_event_id:
        found[SENTRY_EVENT] = record.sentry_event_id
    found[LAYER_KIND] = record.layer.kind
    found[LAYER_NAME] = record.layer.name
    found[HANDLED] = record.handled
    found[EXCEPTION_STACKTRACE] = record.stacktrace
    found[EXCEPTION_MESSAGE] = record.message
    found[EXCEPTION_TYPE] = record.type
    return found


def of_failure(record: ErrorRecord) -> dict[str, AttributeValue]:
    """Return the attributes of a span that `record` describes."""
    return {ERROR_TYPE: record.type, LAYER_NAME: record.layer.name, **_around(record)}


def _around(record: ErrorRecord) -> dict[str, AttributeValue]:
    """Return what the request said of itself, and other services of the error."""
    found: dict[str, AttributeValue] = {}
    came, upstream = record.came, record.upstream
    if came is not None and came.request_id:
        found[REQUEST_ID] = came.request_id
    if came is not None and came.attempt:
        found[REQUEST_ATTEMPT] = came.attempt
    if upstream is not None:
        origin = upstream.context.origin
        found[f"{UPSTREAM}.type"] = origin.type
        found[f"{UPSTREAM}.hops"] = upstream.context.length
        found[f"{UPSTREAM}.services"] = tuple(hop.service for hop in upstream.context.hops)
        about: dict[str, AttributeValue] = {
            "layer": origin.layer,
            "service": origin.service,
            "trace_id": origin.trace_id,
            "span_id": origin.span_id,
            "message": origin.message,
            "attempts": upstream.attempts,
        }
        found.update({f"{UPSTREAM}.{name}": value for name, value in about.items() if value})
    return found
