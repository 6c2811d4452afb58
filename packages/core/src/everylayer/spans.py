"""Spans: what is asked of them, the guard on a failing one, and its late children."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextvars import Token
from typing import TYPE_CHECKING, Any

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, Status, StatusCode

from . import span_class, text
from .error_record import ErrorRecord
from .failsafe import contained
from .redaction import earlier
from .settings import Settings
from .sighting import Sighting
from .sinks import attributes, span_event

if TYPE_CHECKING:
    from .ledger import Ledger

_GUARD = "_everylayer_guard"
_GUARDED = ("record_exception", "set_status", "end", "is_recording")
_STATUS_KEYS = ("http.response.status_code", "http.status_code")

# These format `str(exc)` into a status as soon as the span says that it records, so an exception
# whose `__str__` raises is replaced by that failure. All they do for it is done by us.
_FORMATTERS = frozenset(
    {
        ("opentelemetry.trace", "use_span"),
        ("opentelemetry.sdk.trace", "__exit__"),
        ("opentelemetry.instrumentation.fastapi", "__call__"),
    }
)


def detach(token: Token[Context]) -> None:
    """Make the context what it was before `token` was given for another one.

    What the one that goes holds is freed only afterwards: a finalizer that sets the context too,
    while it is being set, leaves CPython with a pointer to what is no longer there.
    """
    kept = context.get_current()
    context.detach(token)
    del kept


def _key() -> str:
    """Return the key of the current span in a context, which OpenTelemetry does not tell."""
    made = trace.set_span_in_context(INVALID_SPAN, Context())
    return next(key for key, value in made.items() if value is INVALID_SPAN)


_KEY = _key()


def current() -> Span | None:
    """Return the current span, None without one.

    For what is done all the time: `trace.get_current_span` takes four times as long.
    """
    found: Any = context.get_current().get(_KEY)
    return None if found is INVALID_SPAN else found


def recording(span: Span | None) -> bool:
    """Tell whether `span` takes events, whatever its guard says to others."""
    return span is not None and bool(type(span).is_recording(span))


def is_busy(span: Span) -> bool:
    """Tell whether somebody changes `span` at this moment, maybe this very thread.

    The collector may run within the SDK's lock of the span, and from a finalizer the way leads by
    a log record and Sentry back to the span: for ever, since no thread gets that lock twice.
    """
    locked = getattr(getattr(span, "_lock", None), "locked", None)
    return locked is not None and bool(locked())


def ended(span: Span | None) -> bool:
    """Tell whether `span` recorded once and has ended."""
    return getattr(span, "end_time", None) is not None


def began(span: Span | None) -> int:
    """Return when `span` began, nanoseconds since the epoch; 0 where it does not tell."""
    return getattr(span, "start_time", None) or 0


def end(span: Span) -> None:
    """End `span`, unless that has been done."""
    if not ended(span):
        span.end()


def is_server(span: Span | None) -> bool:
    """Tell whether `span` is of kind SERVER."""
    return getattr(span, "kind", None) is SpanKind.SERVER


def response_status(span: Span | None) -> int | None:
    """Return the HTTP status that an instrumentation wrote on `span`, under its old or new name."""
    found: Mapping[str, Any] = getattr(span, "attributes", None) or {}
    for key in _STATUS_KEYS:
        value = found.get(key)
        if isinstance(value, int):
            return value
    return None


def has_event(span: Span, record: ErrorRecord, rules: Settings, exc: BaseException) -> bool:
    """Tell whether somebody else recorded `exc` on `span` before its guard stood.

    What they recorded has passed `redact` since, unless the span has ended: it keeps what was said.
    """
    where = f'File "{record.file}", line {record.line}, in ' if record.file else ""
    for event in getattr(span, "events", ()):
        values = event.attributes or {}
        if (
            event.name == span_event.EVENT
            and attributes.LAYER_NAME not in values
            and values.get(attributes.EXCEPTION_TYPE) == record.type
            and where in str(values.get(attributes.EXCEPTION_STACKTRACE, ""))
            and _is_message(str(values.get(attributes.EXCEPTION_MESSAGE)), span, record, rules, exc)
        ):
            return True
    return False


def _is_message(
    said: str, span: Span, record: ErrorRecord, rules: Settings, exc: BaseException
) -> bool:
    limit = rules.max_message_bytes
    if text.cut(said, limit) == record.message:
        return True
    return (
        ended(span) and text.cut(earlier.message(said, span, rules, exc), limit) == record.message
    )


def fail(span: Span, record: ErrorRecord, rules: Settings) -> None:
    """Mark `span` as failed by `record`, unless the app itself described its failure."""
    status = getattr(span, "status", None)
    described = status is not None and status.status_code is StatusCode.ERROR and status.description
    if described and not _is_of_stock(described, record, rules.max_message_bytes):
        span.set_attributes(attributes.of_failure(record))
        return
    span_event.fail(span, record, rules.max_description_chars)


def home_of(span: Span, sighting: Sighting, rules: Settings) -> Span:
    """Return the span to put an error on: `span`, or a late child that is still to be ended."""
    if not rules.late_spans or not (sighting.late or ended(span)):
        return span
    if sighting.home is None:
        sighting.home = _begin_late(span, sighting.where().name, sighting.time_ns)
    return sighting.home


def _begin_late(parent: Span, layer: str, time_ns: int) -> Span:
    gone = trace.set_span_in_context(trace.NonRecordingSpan(parent.get_span_context()))
    tracer = trace.get_tracer("everylayer")
    return tracer.start_span(f"{layer} (late)", context=gone, start_time=time_ns)


def end_late(span: Span, record: ErrorRecord, max_description_chars: int, *, event: bool) -> None:
    """Put `record` on the late child `span`, and end it."""
    if record.tenant:
        span.set_attribute(attributes.TENANT, record.tenant)
    if event:
        span_event.write(span, record, None)
    if record.handled:
        span.set_attribute(attributes.LAYER_NAME, record.layer.name)
    else:
        span_event.fail(span, record, max_description_chars)
    span.end()


def guard_of(span: Span | None) -> SpanGuard | None:
    """Return the guard on `span`, if there is one."""
    guard = getattr(span, _GUARD, None)
    return guard if isinstance(guard, SpanGuard) else None


class SpanGuard:
    """Stands on one failing span until it ends: nothing is recorded twice, no status is lost.

    Whoever records an exception on the span (stock instrumentation, the app) records it through the
    ledger. The span's end waits for the ledger where the outcome of the request is still open, and
    keeps its time.
    """

    __slots__ = ("_hostile", "_others", "_span", "held_ns", "ledger")

    def __init__(self, span: Span, ledger: Ledger) -> None:
        self._span = span
        self.ledger = ledger
        self.held_ns: int | None = None
        self._hostile: list[BaseException] = []
        state = vars(span)
        # Another library may have put its own here: it is called, and given back.
        self._others = {name: state[name] for name in _GUARDED if name in state}
        state[_GUARD] = self
        state["record_exception"] = self._record_exception
        state["set_status"] = self._set_status
        state["end"] = self._end

    def remove(self) -> None:
        """Leave the span as it was found."""
        state = vars(self._span)
        for name in (_GUARD, *_GUARDED):
            state.pop(name, None)
        state.update(self._others)
        self._hostile = []

    def shield(self, exc: BaseException) -> None:
        """Keep stock from formatting `exc`, whose `__str__` raises."""
        self._hostile.append(exc)
        vars(self._span)["is_recording"] = self._is_recording

    def finish(self, end_time: int | None = None) -> None:
        """Write what is left and end the span, at the time at which it was first ended."""
        if self.held_ns is not None:
            end_time = self.held_ns
        self.ledger.flush()
        self.remove()
        self._span.end(end_time)
        if self.ledger.pending():
            # What another thread has seen in the meantime.
            self.ledger.flush()

    def _end(self, end_time: int | None = None) -> None:
        if not self.must_wait():
            self.finish(end_time)
        elif self.held_ns is None:
            self.held_ns = time.time_ns() if end_time is None else end_time

    @contained
    def must_wait(self) -> bool:
        """Tell whether the span's end is not to come yet."""
        return self.ledger.undecided() or self.ledger.awaits_sentry()

    def _record_exception(
        self,
        exception: BaseException,
        attributes: Mapping[str, Any] | None = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        caller = sys._getframe(1).f_globals
        span_class.tell(self._span, exception, attributes)
        ledger = self.ledger
        # New to us, past the last of our seams: it leaves the block around the span, and the app.
        # So may an error of work that was handed on, and that the block has asked for.
        leaves = (
            caller.get("__name__") == "opentelemetry.trace"
            and not ledger.running
            and (not ledger.knows(exception) or ledger.is_of_work(exception))
        )
        ledger.see(
            exception,
            explicit=not _by_opentelemetry(caller),
            attributes=attributes,
            at_ns=timestamp,
            handled=False if leaves else None,
        )

    def _set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        by_stock = _by_opentelemetry(sys._getframe(1).f_globals)
        if not self._is_stale(status, description, by_stock):
            status, description = self._redacted(status, description)
            others = self._others.get("set_status")
            if others is not None:
                others(status, description)
            else:
                type(self._span).set_status(self._span, status, description)

    def _redacted(
        self, status: Status | StatusCode, description: str | None
    ) -> tuple[Status | StatusCode, str | None]:
        if isinstance(status, Status):
            if status.description:
                return Status(status.status_code, self._described(status.description)), description
        elif status is StatusCode.ERROR and isinstance(description, str):
            return status, self._described(description)
        return status, description

    def _described(self, description: str) -> str:
        ledger = self.ledger
        return earlier.described(description, self._span, ledger.settings, ledger.exceptions())

    @contained
    def _is_stale(self, status: Status | StatusCode, description: str | None, stock: bool) -> bool:
        if isinstance(status, Status):
            code, description = status.status_code, status.description
        else:
            code = status
        if code is not StatusCode.ERROR:
            return False
        if not description:
            now = getattr(self._span, "status", None)
            return now is not None and bool(now.description)
        # Whether a known exception makes this an ERROR is for the outcome to say, not for stock.
        return stock and any(
            description in _stock_descriptions(exc) for exc in self.ledger.exceptions()
        )

    def _is_recording(self) -> bool:
        caller = sys._getframe(1)
        if (caller.f_globals.get("__name__"), caller.f_code.co_name) in _FORMATTERS:
            current = sys.exc_info()[1]
            if any(current is exc for exc in self._hostile):
                return False
        return recording(self._span)


def _is_of_stock(description: str, record: ErrorRecord, max_message_bytes: int) -> bool:
    # Stock's is as long as the message; the record's own has been cut.
    message = description.removeprefix(f"{record.type.rpartition('.')[2]}: ")
    return record.message in (
        text.cut(message, max_message_bytes),
        text.cut(description, max_message_bytes),
    )


def _stock_descriptions(exc: BaseException) -> tuple[str, str, str]:
    cls, message = type(exc), text.message_of(exc)
    # The last is said of an error that aiohttp's server will answer: it has no status yet.
    return f"{cls.__name__}: {message}", message, f"Non-integer HTTP status: {cls.__qualname__}"


def _by_opentelemetry(caller_globals: Mapping[str, Any]) -> bool:
    return str(caller_globals.get("__name__", "")).startswith("opentelemetry.")
