"""The error context on the response to a failing request, where the setting asks for it."""

from __future__ import annotations

import os
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Span

from .. import chain, text, writer
from ..failsafe import contained
from ..ledger import Ledger
from ..redaction import values
from ..redaction.guard import Redacting, redacting, redactor_of
from ..sighting import Sighting
from . import received
from .error_context import MAX_TEXT, Hop, cleaned, parse, render, through


def due(ledger: Ledger, status: int) -> bool:
    """Tell whether a response with `status` may have to tell where its error began."""
    return status >= 500 and ledger.page is not None and ledger.settings.error_context != "off"


@contained
def value_for(ledger: Ledger, status: int, present: str = "") -> str | None:
    """Return what the header is to say; None where there is nothing to tell.

    Args:
        ledger: the request's.
        status: of the response that starts.
        present: what the header says already: the app may pass on another service's response.
    """
    page, rules = ledger.page, ledger.settings
    if page is None:
        return None
    trusted = page.came is not None and page.came.trusted
    if rules.error_context == "trusted" and not trusted:
        return None
    sighting = writer.failing(page, rules, status)
    if sighting is None:
        return None
    told = parse(present) if present else None
    context = ledger.span.get_span_context() if ledger.span is not None else None
    ids = ("", "")
    if context is not None and context.is_valid:
        ids = (f"{context.trace_id:032x}", f"{context.span_id:016x}")
    if told is not None and (told.hops[0].trace_id, told.hops[0].span_id) == ids != ("", ""):
        return None  # An app within this one has told it.
    hop = Hop(
        text.type_name(sighting.exc),
        sighting.so_far().name,
        service_of(ledger.span),
        *ids,
        page.came.attempt if page.came is not None else 0,
        text.message_of(sighting.exc) if trusted else "",
    )
    behind = received.behind(sighting.exc, sighting.tb)
    whole = through(hop, behind.context if behind is not None else told)
    redactor = _redacting(ledger, sighting)
    if redactor is None:
        return render(cleaned(whole, str, trusted))
    return render(cleaned(whole, lambda said: redactor.bounded(said, MAX_TEXT)[0], trusted))


def service_of(span: Span | None) -> str:
    """Return the `service.name` of the process, empty where none is set."""
    for owner in (span, trace.get_tracer_provider()):
        attributes: Any = getattr(getattr(owner, "resource", None), "attributes", None) or {}
        name = attributes.get("service.name")
        if isinstance(name, str) and not name.startswith("unknown_service"):
            return name
    return os.environ.get("OTEL_SERVICE_NAME", "")


def _redacting(ledger: Ledger, sighting: Sighting) -> Redacting | None:
    redactor = redactor_of(ledger.settings.redaction)
    if redactor is None:
        return None
    exact = values.known(ledger.span, sighting.named)
    linked = [link.exc for link in chain.links(sighting.exc, limit=16)]
    return redacting(redactor, sighting.exc, sighting.tb, linked, exact)
