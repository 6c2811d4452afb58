"""What others write about an error on the span that it belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.trace import Span, Status, StatusCode

from .. import chain, text
from ..failsafe import contained
from ..settings import Settings
from . import values

_EVENT = "exception"
_OURS = "everylayer.layer.name"
_TEXTS = ("exception.message", "exception.stacktrace")


def described(
    description: str, span: Span, rules: Settings, exceptions: Iterable[BaseException]
) -> str:
    """Return the description of a status without secrets.

    Args:
        description: a message, or `Type: message` as stock words it.
        span: it is for this one.
        rules: the settings in force.
        exceptions: those that have been seen; the name of a type is no secret's name.
    """
    exceptions = list(exceptions)
    head, sign, message = description.partition(": ")
    if not sign or head not in {type(exc).__name__ for exc in exceptions}:
        head, sign, message = "", "", description
    return f"{head}{sign}{_redacted(message, span, rules, exceptions)}"


def message(said: str, span: Span, rules: Settings, exc: BaseException) -> str:
    """Return what was said of `exc` on `span` as a record of it would say it."""
    return _redacted(said, span, rules, [exc])


@contained
def redact(span: Span, rules: Settings, exceptions: Sequence[BaseException]) -> None:
    """Take secrets out of what was recorded on `span` before anything of ours stood."""
    from . import guard

    if guard.redactor_of(rules.redaction) is None:
        return
    status = getattr(span, "status", None)
    if status is not None and status.status_code is StatusCode.ERROR and status.description:
        known = described(status.description, span, rules, exceptions)
        if known != status.description:
            type(span).set_status(span, Status(StatusCode.ERROR, known))
    for event in getattr(span, "events", ()):
        found = event.attributes or {}
        if event.name != _EVENT or _OURS in found:
            continue
        kept: dict[str, Any] = {
            key: _redacted(found[key], span, rules, exceptions)
            for key in _TEXTS
            if isinstance(found.get(key), str)
        }
        if any(found[key] != value for key, value in kept.items()):
            # Events have no setter: nobody else may change what was recorded.
            event._attributes = BoundedAttributes(attributes={**found, **kept})


def _redacted(value: str, span: Span, rules: Settings, exceptions: Sequence[BaseException]) -> str:
    from . import guard
    from .redactor import MOST

    redactor = guard.redactor_of(rules.redaction)
    if redactor is None:
        return value
    exact = values.known(span)
    left_out = 0
    for exc in exceptions:
        linked = [link.exc for link in chain.links(exc, limit=16)]
        one = guard.redacting(redactor, exc, chain.traceback_of(exc), linked, exact)
        value, more = one.bounded(value, MOST)
        left_out += more
    kept, more = (value, 0) if exceptions else redactor.bounded(value, MOST, exact)
    left_out += more
    return text.cut(kept, MOST, left_out) if left_out else kept
