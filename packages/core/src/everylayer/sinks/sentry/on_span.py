"""The id of a Sentry event on the span that it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.trace import Span

from ... import spans
from ...boundaries.aftermath import hand_over
from ...settings import Settings
from .. import attributes
from . import place


def write(span: Span, event_id: str, rules: Settings, *, first: bool) -> None:
    """Name the event on `span`, with a link to it if there is a template.

    Args:
        span: any span; one that does not record is left alone.
        event_id: of an event that shows an error of this span; empty if there is none.
        rules: the settings in force.
        first: that error describes the span's failure, so its event replaces another.
    """
    if not event_id or not spans.recording(span):
        return
    # Where a request ends, nobody is interrupted, and later is too late.
    if not first and spans.is_busy(span):
        hand_over(_write, span, event_id, rules, first)
    else:
        _write(span, event_id, rules, first)


def _write(span: Span, event_id: str, rules: Settings, first: bool) -> None:
    if not spans.recording(span):
        return
    found: Mapping[str, Any] = getattr(span, "attributes", None) or {}
    if attributes.SENTRY_EVENT in found and not first:
        return
    span.set_attribute(attributes.SENTRY_EVENT, event_id)
    if rules.sentry_url:
        span.set_attribute(
            attributes.SENTRY_URL, place.url(rules.sentry_url, place.of(span), event_id)
        )
