"""The attributes of one error, the same in every sink (semantic conventions 1.44)."""

from __future__ import annotations

from opentelemetry.util.types import AttributeValue

from ..record import ErrorRecord

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
DROPPED = "everylayer.exceptions.dropped"
TENANT = "app.tenant.id"
SENTRY_EVENT = "sentry.event_id"
SENTRY_URL = "sentry.event_url"


def of(record: ErrorRecord) -> dict[str, AttributeValue]:
    """Return the attributes of `record`."""
    # Where a limit on attributes is small, the SDK keeps the last ones.
    found: dict[str, AttributeValue] = {}
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
