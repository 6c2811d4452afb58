"""What opentelemetry-instrumentation-celery writes on its span of a task, kept in order."""

from __future__ import annotations

from typing import Any

from opentelemetry.trace import Span, Status

from .. import settings, spans, text
from ..failsafe import contained
from ..redaction import earlier

_REASON = "celery.retry.reason"


@contained
def move_to_front(signal: Any, receiver: Any) -> None:
    """Let `receiver` be the first that `signal` calls, whoever connected before.

    Celery calls them in the order in which they came, and has no other way to say it.
    """
    with signal.lock:
        # Not sorted in place: it is empty meanwhile to whoever sends without the lock.
        signal.receivers[:] = sorted(signal.receivers, key=lambda entry: entry[1] is not receiver)


@contained
def pass_over(span: Span, stand_in: Any) -> None:
    """Keep stock from recording `stand_in`, which Celery made of an error that `span` bears.

    What cannot be pickled is shown to the receivers of a signal as another exception.
    """
    guard = spans.guard_of(span)
    if guard is None or not isinstance(stand_in, BaseException):
        return
    said = text.message_of(stand_in)
    state: dict[str, Any] = vars(span)
    record, tell = state["record_exception"], state["set_status"]

    def record_exception(exception: BaseException, *args: Any, **kwargs: Any) -> None:
        if exception is not stand_in:
            record(exception, *args, **kwargs)

    def set_status(status: Any, description: str | None = None) -> None:
        if (status.description if isinstance(status, Status) else description) != said:
            tell(status, description)

    # The guard takes them away with its own.
    state["record_exception"], state["set_status"] = record_exception, set_status


@contained
def redact_reason(span: Span, cause: Any) -> None:
    """Take secrets out of what stock says of a retry: the text of its cause."""
    reason = (getattr(span, "attributes", None) or {}).get(_REASON)
    if isinstance(reason, str) and span.is_recording():
        known = [cause] if isinstance(cause, BaseException) else []
        kept = earlier.described(reason, span, settings.current(), known)
        if kept != reason:
            span.set_attribute(_REASON, kept)
