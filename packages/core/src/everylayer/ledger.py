"""What the seams of one request saw, held until the request's outcome says what it means."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from time import time_ns
from types import TracebackType
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Span

from . import chain, origin, spans, text, writer
from .boundaries import aftermath, tenant
from .failsafe import contained
from .forks import ForkLock
from .layers import WORK, Layer, LayerMap
from .page import Page
from .redaction import values
from .settings import Settings
from .sighting import SWALLOWED, Sighting
from .sinks.sentry import switch

ServerSpan = Callable[["int | None"], "Span | None"]

# Errors of many requests may arrive at once; happy requests never come here. Reentrant: the
# collector may run a finalizer that records an error of its own while the lock is held.
_lock = ForkLock()

# Whether any error was ever shown outside the seams of its request: only then need they look.
_any_loose = False


class Ledger:
    """The errors of one request and the span that they belong to.

    Made by the request's outermost seam, which tells it about the response and closes it, or by
    `loose.ledger_for` where no seam of ours surrounds the request. That seam sets `around` before
    any layer runs, and `within` right inside the layer that starts the server span; while the
    layers run, all seams show what they see by `observe`; then it calls `responded` with the
    status, if there is a response, and `close`, with the exception that leaves instead, if there
    is none.
    `awaited.Outermost` is the shortest one that does all of it.

    Args:
        settings: the rules in force.
        layers: what names a layer from a traceback, if the framework's package has a map.
        surrounded: an outermost seam stands around the request and will call `close`.

    Attributes:
        span: the span of the request, None while there is none.
        status: the status of the response that went out, None before it started.
        framework: what metrics call the framework; a package's ledger says it.
        start_ns: when the request began, nanoseconds since the epoch.
        around: the context in which the request came, for its span to be found if need be.
        within: the same right inside the layer that starts the request's span.
    """

    # Defaults of the class, and no slots: one is made for each request, most of which set none.
    span: Span | None = None
    status: int | None = None
    page: Page | None = None
    framework = "none"
    # The seams set these, rather than call a method: it is done for each request. Not a copy of
    # all context variables: one of those may hold the request, which holds this ledger.
    around: Context | None = None
    within: Context | None = None
    _open = True
    _inside = False
    _bound = False

    def __init__(
        self, settings: Settings, layers: LayerMap | None = None, surrounded: bool = True
    ) -> None:
        self.settings = settings
        self.layers = layers
        self.start_ns = time_ns()
        if not surrounded:
            self._open = False

    @property
    def running(self) -> bool:
        """Whether the request's outermost seam has not closed it yet."""
        return self._open

    @property
    def errors(self) -> bool:
        """Whether any seam has seen an exception."""
        return self.page is not None

    def exceptions(self) -> Iterator[BaseException]:
        """Yield the exceptions seen and still held."""
        return (sighting.exc for sighting in (self.page.seen if self.page else ()))

    def bind(self, span: Span, *, inside: bool = False) -> None:
        """Make `span` the request's span; one of kind SERVER replaces one of another kind.

        Args:
            span: a span; one that is invalid is passed over.
            inside: it began within the outermost seam, so that seam outlives it.
        """
        if span is INVALID_SPAN or span is self.span:
            return
        if self.span is not None:
            better = spans.is_server(span) and not spans.is_server(self.span)
            known = spans.ended(self.span) or spans.recording(self.span)
            if not (better or (spans.recording(span) and not known)):
                return
            guard = spans.guard_of(self.span)
            if guard is not None and guard.ledger is self:
                guard.remove()
                if guard.held_ns is not None:
                    self.span.end(guard.held_ns)
        elif not span.get_span_context().is_valid:
            return
        self.span = span
        self._inside = inside

    def responded(self, status: int) -> None:
        """Take the status of the response that the outermost seam lets out."""
        self.status = status
        if self.page is not None:
            self._end_held_span()

    def answered(self, exc: BaseException, status: int) -> None:
        """Take the status of a response that starts while `exc` is being handled.

        Whether it is raised once more after this answer, only `close` can tell.
        """
        self.status = status
        self.goes_on(exc)

    def goes_on(self, exc: BaseException) -> None:
        """Take note that a response has begun further in, so that `exc` may leave in spite of it.

        In another task that is known before the start passes the outermost seam.
        """
        sighting = self.sighting_of(exc)
        if sighting is not None:
            sighting.after_start = True

    def close(
        self, escaped: BaseException | None = None, server_span: ServerSpan | None = None
    ) -> None:
        """Settle the request: its outermost seam returns, or raises `escaped`.

        Args:
            escaped: the exception that leaves the app.
            server_span: starts the request's server span after the fact, given the status;
                called when errors were seen and no span was ever bound.
        """
        self._open = False
        if self.page is not None:
            aftermath.tell(escaped, self._settle, escaped, server_span)
        elif _any_loose:
            self._judge_loose()

    @contained
    def see(
        self,
        exc: BaseException,
        tb: TracebackType | None = None,
        *,
        layer: Layer | None = None,
        phase: str = "",
        client_status: int | None = None,
        handled: bool | None = None,
        explicit: bool = False,
        attributes: Mapping[str, Any] | None = None,
        at_ns: int | None = None,
    ) -> None:
        """Take a sighting of `exc`; `everylayer.observer.observe` is the door for seams."""
        if not self.settings.enabled or issubclass(type(exc), GeneratorExit):
            return
        if (layer is None and handled is None and not explicit and self.again(exc, tb)) or (
            phase == SWALLOWED and not self._room_for_swallowed(exc)
        ):
            return
        self._find_span()
        if self._has_been_written(exc):
            return
        replaced: Sighting | None = None  # freed after the lock: its frames may hold anything
        with _lock:
            guard = self._guard()
            if guard is not None and guard.ledger is not self:
                self._share(guard)
            if self.page is None:
                self.page = Page()
            sighting = self.page.find(exc)
            first = sighting is None
            if sighting is None:
                sighting = Sighting(exc, tb or chain.traceback_of(exc), at_ns or time_ns())
                sighting.named = values.current()
                sighting.tenant = tenant.CURRENT.get()
                sighting.after_start = self.status is not None
                sighting.late = spans.ended(self.span) or self._held_and_answered(guard)
                replaced = self.page.add(sighting, self.settings.max_events)
            sighting.add(tb or chain.traceback_of(exc), layer, phase, client_status, self.layers)
            sighting.take_word(explicit, attributes, handled)
        del replaced
        # What an outer seam may still find is another span, or that this one is another ledger's.
        self._bound = guard is not None and guard.ledger is self and spans.is_server(self.span)
        if first or sighting.exc is not exc:
            origin.seen(exc, self.span, layer or sighting.layer, sighting.time_ns)
            self.page.met(self, layer)
            self._tell_sentry(exc, sighting)
            if guard is not None and not text.is_printable(exc):
                guard.shield(exc)
        if not self._open and guard is None:
            aftermath.tell_from_anywhere(exc, self.flush)

    def _has_been_written(self, exc: BaseException) -> bool:
        """Tell whether a ledger that has let go of `exc` wrote it for a span that has ended."""
        span = self.span
        return (
            span is not None
            and spans.ended(span)
            and self.sighting_of(exc) is None
            and origin.is_written(exc, span)
        )

    def knows(self, exc: BaseException) -> bool:
        """Tell whether `exc` has been seen, so that nothing but its traceback can be new."""
        sighting = self.sighting_of(exc)
        return sighting is not None and sighting.phase != SWALLOWED

    def again(self, exc: BaseException, tb: TracebackType | None = None) -> bool:
        """Take a known exception at one more seam: nothing but its traceback can be new.

        Nearly all sightings are of this kind: a seam may call this before `observe`.

        Returns:
            Whether it is known, so that the seam has nothing to add.
        """
        sighting = self.sighting_of(exc) if self._bound else None
        if sighting is None or sighting.exc is not exc or sighting.phase == SWALLOWED:
            return False
        sighting.grow(tb or chain.traceback_of(exc))
        return True

    def _room_for_swallowed(self, exc: BaseException) -> bool:
        """Tell whether `exc`, which a layer handled, is news; a loop of them must not push out."""
        sighting = self.sighting_of(exc)
        if sighting is not None:
            return sighting.phase == SWALLOWED
        if self.page is None or len(self.page.seen) < self.settings.max_events:
            return True
        self.page.dropped += 1
        return False

    def sighting_of(self, exc: BaseException) -> Sighting | None:
        """Return what is known of `exc` as long as the request holds it."""
        return self.page.find(exc) if self.page is not None else None

    def is_of_work(self, exc: BaseException) -> bool:
        """Tell whether `exc` was seen first in work that was handed on."""
        sighting = self.sighting_of(exc)
        return sighting is not None and sighting.layer is not None and sighting.layer.kind == WORK

    def pending(self) -> bool:
        """Tell whether anything seen has not been written."""
        return self.page is not None and not all(s.written for s in self.page.seen)

    @contained
    def flush(self) -> None:
        """Write what has not been written; let go of it unless the request still runs."""
        page = self.page
        if page is None:
            return
        with _lock:
            pending = page.take()
        if pending:
            writer.write(self.span, page, pending, self.settings, self._outcome(), self.start_ns)
        if not self._open:
            with _lock:
                settled, page.seen = page.seen, [s for s in page.seen if not s.written]
            del settled

    def undecided(self) -> bool:
        """Tell whether what comes next can still change the meaning of an error."""
        if not self._open or self.page is None:
            return False
        return self.status is None or any(
            sighting.after_start and not sighting.written for sighting in self.page.seen
        )

    def awaits_sentry(self) -> bool:
        """Tell whether an error leaves the app that Sentry's own wrapper may still capture.

        That wrapper stands around the layer that ends the span, and the span is to name its event.
        """
        return self._open and switch.link is not None and bool(switch.awaits(self))

    def _tell_sentry(self, exc: BaseException, sighting: Sighting) -> None:
        link = switch.look(self.settings)
        if link is not None:
            link.sighted(self, exc, sighting)

    @contained
    def _judge_loose(self) -> None:
        """Let the response, known here, judge an error that the app has recorded by itself."""
        self._look_up_entry()
        guard = spans.guard_of(self.span)
        if guard is not None and guard.ledger.status is None:
            guard.ledger.status = self.status

    def _look_up_entry(self) -> None:
        entries = (self.within, True), (self.around, False)
        self.within = self.around = None
        for entry, inside in entries:  # What starts a span within may do so in the server's.
            if entry is not None:
                self.bind(trace.get_current_span(entry), inside=inside)

    def _find_span(self) -> None:
        self._look_up_entry()
        if self.span is None or not spans.is_server(self.span):
            current = trace.get_current_span()
            self.bind(current, inside=spans.began(current) >= self.start_ns)

    def _guard(self) -> spans.SpanGuard | None:
        span = self.span
        if span is None or spans.ended(span) or not spans.recording(span):
            return None
        return spans.guard_of(span) or spans.SpanGuard(span, self)

    def _share(self, guard: spans.SpanGuard) -> None:
        """Keep one page for one span, whichever seam or `record` call came to it first."""
        other = guard.ledger.page
        if self.page is None:
            self.page = other
        elif other is not None and other is not self.page:
            self.page.absorb(other)
            guard.ledger.page = self.page
        if self._open:
            guard.ledger = self

    def _held_and_answered(self, guard: spans.SpanGuard | None) -> bool:
        return guard is not None and guard.held_ns is not None and self.status is not None

    def _outcome(self) -> int | None:
        """Return the status of the final response: that of the outermost witness."""
        seen = self.page.seen if self.page is not None else ()
        if self._inside and self.status is None and any(s.left for s in seen):
            return None  # The span saw a response that then failed on its way out.
        written = spans.response_status(self.span)
        outer, inner = (self.status, written) if self._inside else (written, self.status)
        return inner if outer is None else outer

    @contained
    def _end_held_span(self) -> None:
        guard = spans.guard_of(self.span)
        if guard is not None and guard.held_ns is not None and not guard.must_wait():
            guard.finish()

    @contained
    def _settle(self, escaped: BaseException | None, server_span: ServerSpan | None) -> None:
        page = self.page
        assert page is not None
        # What it was raised from has left in its shape: nobody has dealt with that either.
        for exc in chain.with_causes(escaped):
            sighting = page.find(exc)
            if sighting is not None:
                sighting.left = True
                sighting.escaped = self.status is not None
        if self.span is None and server_span is not None and self.settings.server_span:
            self._settle_on_new(server_span)
            return
        guard = spans.guard_of(self.span)
        if guard is None:
            self.flush()
        elif guard.held_ns is not None or (self._inside and escaped is not None):
            # Stock leaves its span open when a BaseException passes it.
            guard.finish()

    @contained
    def _made(self, server_span: ServerSpan) -> Span | None:
        if writer.worth_a_span(self.page, self.settings, self.status):
            return server_span(self.status)
        return None

    def _settle_on_new(self, server_span: ServerSpan) -> None:
        span = self._made(server_span)
        if span is None:
            self.flush()
            return
        self.span = span
        self.flush()
        span.end()
