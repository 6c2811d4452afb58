"""The event processor in Sentry, and what it shares with the ledgers of running requests."""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import sentry_sdk
from opentelemetry import trace
from opentelemetry.trace import Span
from sentry_sdk import scope as sentry_scope

from ... import chain, settings, spans
from ...failsafe import contained
from ...redaction import values
from ...redaction.guard import Redacting, redacting, redactor_of
from ...rendering.cache import Generations
from ...settings import Settings
from ...sighting import Sighting
from . import events, marks, on_span, place, scrubber
from .marks import Mark

if TYPE_CHECKING:
    from ...ledger import Ledger

# A hint's entry, an `Ours`: the event is one of ours, and complete.
OURS = "everylayer"
_MAX_LEDGERS = 4096
_MAX_CHAIN = 16


class Ours:
    """What the processor must know of an event that everylayer has made.

    Attributes:
        rules: the settings in force.
        exact: values known to be sensitive, and their kinds.
    """

    __slots__ = ("exact", "rules")

    def __init__(self, rules: Settings, exact: dict[str, str]) -> None:
        self.rules = rules
        self.exact = exact


class Link:
    """One a process, between the first look at Sentry and `uninstrument()`.

    Attributes:
        rules: the settings for events outside every known request; None takes the process's.
    """

    __slots__ = ("_clients", "_ledgers", "_processor", "rules")

    def __init__(self) -> None:
        self.rules: Settings | None = None
        # By the address of an exception, which its ledger confirms as long as it holds it.
        self._ledgers: Generations[int, weakref.ref[Ledger]] = Generations(_MAX_LEDGERS)
        self._clients = scrubber.Clients(self._redacting)
        # One bound method: the list is searched for it by identity.
        self._processor = self.process

    def install(self) -> None:
        """Put the processor among Sentry's global ones, once."""
        if self._processor not in sentry_scope.global_event_processors:
            sentry_scope.add_global_event_processor(self._processor)

    def remove(self) -> None:
        """Take the processor out again."""
        found = sentry_scope.global_event_processors
        found[:] = [one for one in found if one is not self._processor]
        self._ledgers.clear()
        self._clients.release()

    def prefer(self, rules: Settings) -> None:
        """Take the settings of an app; the last one that says anything of Sentry counts."""
        said = rules.trace_url or rules.sentry_url or rules.redaction != "default"
        if self.rules is None or said or rules.sentry == "capture":
            self.rules = rules

    @contained
    def sighted(self, ledger: Ledger, exc: BaseException, sighting: Sighting) -> None:
        """Take note of an exception that a request has seen for the first time."""
        self._ledgers.put(id(exc), weakref.ref(ledger))
        if ledger.settings.sentry == "capture" and sighting.scopes is None:
            sighting.scopes = (
                sentry_sdk.get_current_scope(),
                sentry_sdk.get_isolation_scope(),
            )

    def expects(self, exc: BaseException, ledger: Ledger) -> bool:
        """Tell whether Sentry may still capture `exc`, which no event of this request shows."""
        if not sentry_sdk.get_client().is_active():
            return False
        mark = marks.of(exc)
        return (
            mark is None
            or not mark.event_id
            or not mark.is_of(place.of(ledger.span), ledger.start_ns)
        )

    def process(self, event: Any, hint: Any) -> Any:
        """Complete an event on its way out, as Sentry's event processor; None drops it."""
        # A transaction, a check-in: nothing that failed.
        if event.get("type") not in (None, "error"):
            return event
        return None if self._is_second(event, hint) else self._redacted(event, hint)

    @contained
    def _is_second(self, event: Any, hint: Any) -> bool:
        """Fill `event`; tell whether it shows once more what another one has shown."""
        if hint is not None and hint.get(OURS):
            return False
        exc = _exception_of(hint)
        ledger, sighting = self._find(exc)
        current = trace.get_current_span()
        rules = ledger.settings if ledger is not None else self._rules_of(current)
        if rules.sentry == "off":
            return False
        span = ledger.span if ledger is not None and ledger.span is not None else current
        here = place.of(span)
        mark = marks.of(exc) if exc is not None else None
        if mark is not None and not mark.is_of(here, ledger.start_ns if ledger else 0):
            mark = None
        if exc is not None and mark is not None and mark.settled:
            if sighting is None:
                marks.drop(exc)
            return True
        if sighting is not None:
            if sighting.home is not None or not sighting.written:
                # A late span is ended by what writes its error: not begun once that is done.
                span = spans.home_of(span, sighting, rules)
            here = place.of(span)
            known = Mark("", False, 0, here, sighting.where(), sighting.phase)
        else:
            known = mark or Mark("", False, 0, here)
        self._fill(event, exc, span, known._replace(place=known.place or here), rules)
        return False

    def _redacted(self, event: Any, hint: Any) -> Any:
        """Return a copy of `event` without secrets, which what comes later may add to."""

        def known() -> Redacting | None:
            exc, ours = _exception_of(hint), hint.get(OURS) if hint else None
            found = self._redacting(exc, ours)
            if found is not None:
                self._clients.cover(sentry_sdk.get_client())
            return found

        found = scrubber.processed(event, known)
        return dict(found) if found is event else found

    def _redacting(
        self, exc: BaseException | None = None, ours: Ours | None = None
    ) -> Redacting | None:
        """Return what redacts the texts of an event, None if it shall stay as it is."""
        sighting: Sighting | None = None
        if ours is not None:
            rules, exact = ours.rules, ours.exact
        else:
            ledger, sighting = self._find(exc)
            current = trace.get_current_span()
            rules = ledger.settings if ledger is not None else self._rules_of(current)
            span = ledger.span if ledger is not None and ledger.span is not None else current
            exact = values.known(span, sighting.named if sighting is not None else None)
        redactor = redactor_of(rules.redaction) if rules.sentry != "off" else None
        if redactor is None:
            return None
        if exc is None:
            return Redacting(redactor, exact)
        tb = sighting.tb if sighting is not None else chain.traceback_of(exc)
        return redacting(redactor, exc, tb, [link.exc for link in chain.links(exc)], exact)

    def _fill(
        self, event: Any, exc: BaseException | None, span: Span, known: Mark, rules: Settings
    ) -> None:
        events.fill(
            event,
            known.place,
            known.layer,
            known.phase,
            trace_url=rules.trace_url,
            trace_is_free=_is_sentrys_own(event),
        )
        event_id = str(event.get("event_id") or "")
        if not event_id:
            return
        if exc is not None:
            settled = rules.sentry == "capture"
            made = known._replace(event_id=event_id, settled=settled, time_ns=time.time_ns())
            note(exc, made)
        if exc is not None or event.get("level") in ("error", "fatal"):
            on_span.write(span, event_id, rules, first=False)

    def _find(self, exc: BaseException | None) -> tuple[Ledger | None, Sighting | None]:
        """Return the running request that has seen `exc`, or part of it, and what it saw."""
        if exc is None:
            return None, None
        ledger = self._ledger_of(exc)
        if ledger is not None:
            return ledger, ledger.sighting_of(exc)
        for linked in chain.links(exc, _MAX_CHAIN):
            ledger = self._ledger_of(linked.exc)
            if ledger is not None:
                return ledger, None
        return None, None

    def _ledger_of(self, exc: BaseException) -> Ledger | None:
        found = self._ledgers.get(id(exc))
        ledger = found() if found is not None else None
        return ledger if ledger is not None and ledger.knows(exc) else None

    def _rules_of(self, span: Span) -> Settings:
        guard = spans.guard_of(span)
        if guard is not None:
            return guard.ledger.settings
        return self.rules or settings.current()


def note(exc: BaseException, mark: Mark) -> None:
    """Put `mark` on `exc` and on all that an event of it shows: what was shown first stays."""
    for one in (exc, *(linked.exc for linked in chain.links(exc, _MAX_CHAIN))):
        known = marks.of(one)
        if known is None or not known.event_id or not known.is_of(mark.place, mark.time_ns):
            layer = mark.layer if one is exc else known.layer if known is not None else None
            marks.put(one, mark._replace(layer=layer, settled=mark.settled and one is exc))


def _exception_of(hint: Any) -> BaseException | None:
    exc_info = hint.get("exc_info") if hint is not None else None
    return exc_info[1] if exc_info else None


def _is_sentrys_own(event: Any) -> bool:
    given = (event.get("contexts") or {}).get("trace")
    if given is None:
        return True
    return any(
        own is not None and all(given.get(key) == own.get(key) for key in ("trace_id", "span_id"))
        for own in _own_traces()
    )


def _own_traces() -> Iterator[Any]:
    """Yield the trace contexts that Sentry may have filled in."""
    for scope in (sentry_sdk.get_current_scope(), sentry_sdk.get_isolation_scope()):
        yield scope.get_trace_context()
        # An older SDK leaves the span out.
        if scope.span is not None:
            yield {"trace_id": scope.span.trace_id, "span_id": scope.span.span_id}
