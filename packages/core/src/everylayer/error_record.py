"""The error as a value: built once, safe to export, free of any live object."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from . import chain, redaction, stacktrace, text
from .layers import Layer
from .settings import Settings

if TYPE_CHECKING:
    from .boundaries.arrival import Arrival
    from .boundaries.received import Received
    from .redaction.guard import Redacting

_NONE: Mapping[str, str] = {}


class Cause(NamedTuple):
    """One link of the chain: `relation` is `cause`, `context` or `member`."""

    relation: str
    type: str
    message: str


class ErrorRecord(NamedTuple):
    """One error of one request; every string is valid UTF-8 within its budget.

    Attributes:
        type: fully qualified class name, bare for a builtin.
        message: `str(exc)`.
        stacktrace: as `traceback.format_exception`, the whole chain.
        function: fully qualified name of the raising function; empty without a traceback.
        file: its source file.
        line: the raising line, 1-based; 0 without a traceback.
        causes: what the error is linked to, nearest first.
        layer: where it began.
        phase: what that layer was doing.
        handled: a response below 500 answered it.
        time_ns: when the first seam saw it, nanoseconds since the epoch.
        sentry_event_id: the Sentry event that shows it, if one does.
        variables: those of the app's innermost frames, empty unless asked for.
        upstream: what another service said of the error that it was raised for.
        came: what the request said of itself.
        tenant: whose request, or job, it broke; empty without one.
    """

    type: str
    message: str
    stacktrace: str
    function: str
    file: str
    line: int
    causes: tuple[Cause, ...]
    layer: Layer
    phase: str
    handled: bool
    time_ns: int
    sentry_event_id: str = ""
    variables: str = ""
    upstream: Received | None = None
    came: Arrival | None = None
    tenant: str = ""

    @property
    def description(self) -> str:
        """The status description: the message, the type where that says nothing."""
        return self.message if self.message.strip() else self.type


def build(
    exc: BaseException,
    tb: TracebackType | None,
    settings: Settings,
    *,
    layer: Layer,
    phase: str,
    handled: bool,
    time_ns: int,
    exact: Mapping[str, str] = _NONE,
    tenant: str = "",
    said: str | None = None,
    came: Arrival | None = None,
) -> ErrorRecord:
    """Make the record of `exc`, whose traceback is `tb`.

    What it says has passed the redactor before anything is cut.

    Args:
        exact: values that the app has named as sensitive, and their kinds.
        tenant: whose request it broke.
        said: the message, where it is not that of `exc`.
        came: what the request says of itself.
    """
    # Loaded since there are settings.
    guard = redaction.guard
    frame = stacktrace.raising_frame(tb)
    redactor = guard.redactor_of(settings.redaction)
    links = tuple(chain.links(exc, limit=16))
    redacting = None
    if redactor is not None:
        redacting = guard.redacting(
            redactor,
            exc,
            tb,
            [link.exc for link in links],
            exact,
            variables=settings.local_variables,
        )
    shown = ""
    if settings.local_variables:
        from .redaction import variables

        shown = variables.of(tb, redacting, settings.max_stack_bytes) or ""
    return ErrorRecord(
        type=text.type_name(exc),
        message=_bounded(
            text.message_of(exc) if said is None else said,
            settings.max_message_bytes,
            redacting,
        ),
        stacktrace=stacktrace.render(
            exc, tb, max_bytes=settings.max_stack_bytes, redacting=redacting
        ),
        function=frame.function if frame else "",
        file=frame.file if frame else "",
        line=frame.line if frame else 0,
        causes=tuple(
            Cause(
                link.relation,
                text.type_name(link.exc),
                _bounded(text.message_of(link.exc), settings.max_message_bytes, redacting),
            )
            for link in links
        ),
        layer=layer,
        phase=phase,
        handled=handled,
        time_ns=time_ns,
        variables=shown,
        came=came,
        tenant=tenant,
    )


def _bounded(message: str, limit: int, redacting: Redacting | None) -> str:
    if redacting is None:
        return text.cut(message, limit)
    message, left_out = redacting.bounded(message, limit)
    return text.cut(message, limit, left_out)
