"""Errors on their way to the span: with the event that Sentry made of them, or one of ours."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from types import TracebackType
from typing import Any

import sentry_sdk
from opentelemetry.trace import Span
from sentry_sdk.scope import use_isolation_scope, use_scope
from sentry_sdk.utils import event_from_exception, exceptions_from_error

from ... import chain
from ...error_record import ErrorRecord
from ...failsafe import contained
from ...redaction import values
from ...settings import Settings
from ...sighting import Sighting
from . import events, marks, place
from .link import OURS, Ours, note
from .marks import Mark

_logger = logging.getLogger("everylayer")
_silent = False


def reports(
    entries: Sequence[tuple[Span | None, Sighting, ErrorRecord]],
    rules: Settings,
    since_ns: int,
    request_span: Span | None,
) -> list[str]:
    """Return the id of the Sentry event of each error, empty where it has none.

    Args:
        entries: span, sighting and record of each, oldest first.
        rules: the settings in force.
        since_ns: when the request began.
        request_span: the one that the request's sensitive values are known on.
    """
    found = [""] * len(entries)
    # The last one first: its event shows those that it came from.
    for index in reversed(range(len(entries))):
        found[index] = _report(*entries[index], rules, since_ns, request_span) or ""
    return found


@contained
def _report(
    span: Span | None,
    sighting: Sighting,
    record: ErrorRecord,
    rules: Settings,
    since_ns: int,
    request_span: Span | None,
) -> str:
    here = place.of(span)
    mark = marks.of(sighting.exc)
    if mark is not None and (not mark.event_id or not mark.is_of(here, since_ns)):
        mark = None
    if mark is None:
        event_id = ""
        if rules.sentry == "capture" and not _is_refusal(sighting, record):
            exact = values.known(request_span, sighting.named)
            event_id = _capture(here, sighting, record, Ours(rules, exact))
        mark = Mark(event_id, bool(event_id), time.time_ns(), here, record.layer, record.phase)
        if event_id:
            note(sighting.exc, mark)
            marks.put_inside(sighting.exc, mark)
    if sighting.left:
        # Sentry's own integration may stand further out, and find the span ended.
        known = mark._replace(place=here, layer=record.layer, phase=record.phase)
        marks.put_inside(sighting.exc, known)
    return mark.event_id


def _is_refusal(sighting: Sighting, record: ErrorRecord) -> bool:
    """Tell whether a 4xx only says no to the client: nobody's error report."""
    return record.handled and sighting.client_status is not None and not sighting.explicit


def _capture(here: place.Place | None, sighting: Sighting, record: ErrorRecord, ours: Ours) -> str:
    client = sentry_sdk.get_client()
    if not client.is_active():
        _say_once()
        return ""
    rules = ours.rules
    exc = sighting.exc
    options = {**client.options, "include_local_variables": rules.local_variables}
    mechanism = {"type": "everylayer", "handled": record.handled}
    event: Any
    grouped = _holds_a_group(exc)
    try:
        event, hint = event_from_exception(
            (type(exc), exc, sighting.tb), client_options=options, mechanism=mechanism
        )
    except Exception:
        # Sentry asks exceptions for their attributes, which not all of them bear.
        grouped = False
        event, hint = _of_record(record, sighting.tb, options, mechanism)
    if grouped:
        # Sentry shows the members of a group that comes first alone.
        _, shown = exceptions_from_error(
            type(exc),
            exc,
            sighting.tb,
            client_options=options,
            mechanism=mechanism,
            exception_id=0,
            parent_id=0,
        )
        event["exception"]["values"] = shown[::-1]
    if not rules.local_variables:
        # Another option of Sentry's may have put them there.
        events.drop_variables(event)
    # As the SDK puts it: `before_send` finds the same type in each event.
    event["timestamp"] = datetime.fromtimestamp(record.time_ns / 1e9, timezone.utc)
    events.fill(event, here, record.layer, record.phase, trace_url=rules.trace_url)
    hint[OURS] = ours
    with contextlib.ExitStack() as stack:
        if sighting.scopes is not None:
            current, isolation = sighting.scopes
            stack.enter_context(use_scope(current))
            stack.enter_context(use_isolation_scope(isolation))
        return sentry_sdk.capture_event(event, hint=hint) or ""


def _of_record(
    record: ErrorRecord, tb: TracebackType | None, options: dict[str, Any], mechanism: Any
) -> tuple[Any, Any]:
    """Return the event, and its hint, of an error that Sentry cannot read."""
    event: Any
    event, hint = event_from_exception(
        (Exception, Exception(record.message), tb), client_options=options, mechanism=mechanism
    )
    shown = event["exception"]["values"]
    shown[-1].update(_named(record.type))
    causes = reversed(record.causes)
    shown[:0] = ({**_named(cause.type), "value": cause.message} for cause in causes)
    return event, hint


def _named(kind: str) -> dict[str, str]:
    module, _, name = kind.rpartition(".")
    return {"type": name, "module": module}


def _holds_a_group(exc: BaseException) -> bool:
    """Tell of an error that is no group and comes from one, as far as Sentry can show it all."""
    if chain.is_group(exc):
        return False
    linked = [link.exc for link in chain.links(exc)]
    return len(linked) < chain.MAX_LINKS and any(map(chain.is_group, linked))


def _say_once() -> None:
    global _silent
    if not _silent:
        _silent = True
        _logger.warning(
            "everylayer setting sentry is 'capture', but sentry_sdk.init() has not been called in "
            "this process: no error is sent to Sentry (logged once)"
        )
