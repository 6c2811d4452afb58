"""What is counted of errors, by the OpenTelemetry metrics API: names in `instruments`.

Everything counts into the app's own MeterProvider. Without one nothing is measured; a request
that works is counted by `served` alone.
"""

from __future__ import annotations

import os
from collections import Counter as Tallies
from collections.abc import Callable, Iterable
from threading import get_ident
from time import perf_counter
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span

from .. import spans
from ..boundaries import tenant, tenant_labels
from ..boundaries.bounded import OTHER, BoundedValues
from ..failsafe import contained, own_failures
from ..forks import ForkLock
from ..layers import WORK
from ..settings import Settings
from . import attributes, integrity, served

if TYPE_CHECKING:
    from ..page import Page
    from ..sighting import Sighting
    from .instruments import Instruments

MAX_LAYERS = 100
_MAX_RULES = 100
_MAX_PLACES = 100

ON_SPAN, ON_LATE_SPAN = "span", "late_span"
NO_SPAN, NOT_SAMPLED, SPAN_ENDED, SINK_FAILED = (
    "no_span",
    "not_sampled",
    "span_ended",
    "sink_failed",
)
ESCAPED, HANDLED, LATE, DETACHED, DROPPED = "escaped", "handled", "late", "detached", "dropped"
BUDGET, CROWDED = "budget", "crowded"

_lock = ForkLock()
_instruments: Instruments | None = None
_live = False
_traced = False
# Pairs of a framework and a layer: the two together make a series.
_layers = BoundedValues(MAX_LAYERS, name="layers")
_rules = BoundedValues(_MAX_RULES, name="rules of redaction")
_places = BoundedValues(_MAX_PLACES, name="places of own failures")
# Frameworks whose states have all begun.
_begun: set[str] = set()
# No span, so no exemplar: a duration leads to no trace.
_NOWHERE = Context()
# Threads in the middle of an `add`.
_adding: set[int] = set()
# A forked child has not had its parent's failures.
_before_fork: dict[str, int] = {}


@contained
def prepare() -> None:
    """Make the instruments, for some app that wants them; they wait for a MeterProvider."""
    global _instruments
    if _instruments is not None:
        return
    from opentelemetry.metrics import Observation, get_meter

    from ..redaction import replaced
    from ..version import __version__
    from .instruments import Instruments

    def requests(_: Any) -> Iterable[Observation]:
        return (Observation(served.total()),)

    def failures(_: Any) -> Iterable[Observation]:
        found: Tallies[str] = Tallies()
        for place, times in own_failures().items():
            found[_places(place)] += times - _before_fork.get(place, 0)
        return [Observation(n, {attributes.FAILURE_PLACE: p}) for p, n in found.items() if n]

    with _lock:
        if _instruments is None:
            meter = get_meter("everylayer", __version__)
            _instruments = Instruments(meter, requests, failures)
            replaced.listen(redacted)


def live() -> Instruments | None:
    """Return the instruments if anybody reads them."""
    global _live
    if _live or _instruments is None:
        return _instruments
    from opentelemetry.metrics import get_meter_provider

    # What the API itself brings measures nothing. A provider is set once, and for good.
    _live = not type(get_meter_provider()).__module__.startswith("opentelemetry.metrics")
    return _instruments if _live else None


@contained
def redacted(rules: Iterable[str]) -> None:
    """Count secrets that were replaced.

    Args:
        rules: for each the name of the rule that found it.
    """
    instruments = live()
    if instruments is not None:
        for rule, times in Tallies(map(_rules, rules)).items():
            instruments.redactions.add(times, rule)


@contained
def tally(page: Page, rules: Settings) -> Tally | None:
    """Return what counts the errors of `page` that are about to be written, None if nobody does."""
    instruments = live() if rules.metrics else None
    return None if instruments is None else Tally(instruments, page)


class Tally:
    """Counts what is written of one page at one time."""

    __slots__ = ("_any", "_began", "_instruments", "_page")

    def __init__(self, instruments: Instruments, page: Page) -> None:
        self._instruments = instruments
        self._page = page
        self._any = False
        self._began = perf_counter()

    @contained
    def error(
        self,
        sighting: Sighting,
        handled: bool,
        span: Span | None,
        home: Span | None = None,
        written: bool | None = False,
    ) -> None:
        """Count one error.

        Args:
            sighting: what was seen of it.
            handled: a response below 500 answered it.
            span: of its request.
            home: the span it belongs on: that one, or a late child.
            written: it is on `home`; None where that has failed.
        """
        self._any = True
        instruments, framework = self._instruments, self._page.framework
        layer = sighting.where()
        late = sighting.late or (home is not None and home is not span)
        if handled:
            outcome = HANDLED
        elif late:
            outcome = DETACHED if layer.kind == WORK else LATE
        else:
            outcome = ESCAPED
        context = _NOWHERE if home is None else trace.set_span_in_context(home)
        _add(
            instruments.errors.add,
            1,
            {
                attributes.LAYER_NAME: _named(framework, layer.name),
                attributes.FRAMEWORK: framework,
                attributes.OUTCOME: outcome,
            },
            context,
        )
        instruments.placements.add(1, _placement(sighting, span, home, written), framework)
        name = sighting.tenant or tenant.of_span(span)
        if name:
            instruments.tenants.add(1, tenant_labels.label_of(name), outcome)

    @contained
    def done(self, span: Span | None, budget: int) -> None:
        """Count what concerns the page as a whole.

        Args:
            span: of its request.
            budget: how many errors the setting `max_events` has left out just now.
        """
        page, instruments = self._page, self._instruments
        crowded = page.dropped - page.told - budget
        page.told = page.dropped
        for reason, times in ((BUDGET, budget), (CROWDED, crowded)):
            if times > 0:
                labels = {
                    attributes.FRAMEWORK: page.framework,
                    attributes.OUTCOME: DROPPED,
                    attributes.DROP_REASON: reason,
                }
                _add(instruments.errors.add, times, labels)
        if self._any:
            self._trace(span)
            labels = {attributes.FRAMEWORK: page.framework}
            _add(instruments.duration.record, perf_counter() - self._began, labels)

    def _trace(self, span: Span | None) -> None:
        page = self._page
        # An error that no seam has shown is none of a request that we know of.
        if page.came is None or page.traced or not _tracing():
            return
        page.traced = True
        state = integrity.state_of(span, page.came.traceparent)
        if state == integrity.WHOLE and page.torn:
            state = page.torn
        framework, traces = page.framework, self._instruments.traces
        if framework not in _begun:
            _begun.add(framework)
            # A series that begins at 1 hides its first loss from whoever looks for a rise.
            for each in integrity.STATES:
                traces.add(0, each, framework)
        traces.add(1, state, framework)


def _add(
    add: Callable[..., None],
    amount: float,
    labels: dict[str, Any],
    context: Context = _NOWHERE,
) -> None:
    """Call `add`, unless this thread is in one already.

    The collector may run a finalizer that records an error while the SDK holds a lock that is not
    reentrant: one too few is better than to wait for ever.
    """
    thread = get_ident()
    if thread in _adding:
        return
    _adding.add(thread)
    try:
        add(amount, labels, context)
    finally:
        _adding.discard(thread)


def _named(framework: str, layer: str) -> str:
    return layer if _layers(f"{framework} {layer}") is not OTHER else OTHER


def _placement(
    sighting: Sighting, span: Span | None, home: Span | None, written: bool | None
) -> str:
    if written is None:
        return SINK_FAILED
    if written and home is not None:
        if not home.get_span_context().trace_flags.sampled:
            return NOT_SAMPLED
        return ON_SPAN if home is span else ON_LATE_SPAN
    if span is None:
        return NO_SPAN
    if spans.ended(span) or spans.recording(span):
        return SPAN_ENDED
    context = span.get_span_context()
    # One that came with the request is its caller's.
    return NOT_SAMPLED if context.is_valid and not context.is_remote else NO_SPAN


def _tracing() -> bool:
    global _traced
    if not _traced:
        from ..http_span import provider_configured

        # Once, and for good.
        _traced = provider_configured()
    return _traced


def _begin_anew() -> None:
    _adding.clear()
    _begun.clear()
    if _instruments is not None:
        _instruments.begin_anew()
    _before_fork.update(own_failures())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
