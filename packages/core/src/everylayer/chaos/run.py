"""Chaos in a running app: faults at the points that the audit finds, until it is stopped."""

from __future__ import annotations

import fnmatch
import functools
import hashlib
import itertools
import os
import sys
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, NamedTuple

from opentelemetry import trace

from .. import settings
from ..audit.adapter import Adapter, Chain, adapters
from ..audit.model import ChainNode, Phase
from ..audit.neutral import Neutral
from ..failsafe import contained
from ..faults.point import Point
from ..spans import is_server
from ..text import type_name
from . import decide, permit
from .errors import ChaosRefused, PlanError, error_class, make
from .headers import Origin, origin
from .journal import Injected, Journal, Seen
from .plan import Chaos, Rule

_running: list[Running] = []


class Place(NamedTuple):
    """A layer in a phase."""

    node: str
    layer: str
    phase: Phase


class Running:
    """Chaos that has begun; a context manager that stops it.

    Attributes:
        plan (Chaos): its plan.
        journal (Journal): what it has put so far.
        places: for each rule, where it may put its fault.
    """

    __slots__ = ("_armed", "_numbers", "journal", "places", "plan")

    def __init__(self, plan: Chaos, chain: Chain) -> None:
        self.plan = plan
        self.places = tuple(_places(rule, chain) for rule in plan.rules)
        for rule in plan.rules:
            make(error_class(rule.error), "chaos", "", rule.status)
        self.journal = Journal(plan.journal)
        self._numbers = itertools.count()
        self._armed: list[Point] = []
        try:
            for place in dict.fromkeys(itertools.chain.from_iterable(self.places)):
                point = chain.points[place.node, place.phase]
                self._armed.append(point)
                point.arm(functools.partial(self._visit, place))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Put no more faults, and leave nothing behind; harmless if done before."""
        armed, self._armed = self._armed, []
        for point in armed:
            point.disarm()
        self.journal.close()
        if self in _running:
            _running.remove(self)

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self,
        cls: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.stop()

    def _visit(self, place: Place) -> None:
        fault = self._fault_at(place)
        if fault is not None:
            raise fault

    @contained
    def _fault_at(self, place: Place) -> Exception | None:
        span = trace.get_current_span()
        found = origin(span, sys._getframe(2))
        if found is None:
            return None
        server = found.span_id if is_server(span) else ""
        self.journal.saw(Seen(found.trace_id, server, found.sampled))
        for rule, places in zip(self.plan.rules, self.places, strict=True):
            index = decide.place_for(rule, self.plan.seed, found.trace_id, len(places))
            if index is not None:
                return self._fault(rule, place, found) if places[index] == place else None
        return None

    def _fault(self, rule: Rule, place: Place, found: Origin) -> Exception:
        key = f"{found.trace_id} {place.node} {place.phase} {os.getpid()} {next(self._numbers)}"
        token = "chaos-" + hashlib.blake2b(key.encode(), digest_size=8).hexdigest()
        message = f"{token}: fault in {place.layer} ({place.phase}) of trace {found.trace_id}"
        fault = make(error_class(rule.error), message, found.trace_id, rule.status)
        self.journal.put(
            Injected(
                found.trace_id,
                place.layer,
                place.phase,
                token,
                type_name(fault),
                rule.status,
                found.sampled,
                time.time_ns(),
            )
        )
        return fault


def start(app: Any, plan: Chaos | None = None) -> Running:
    """Put faults into `app` from now on.

    Args:
        app: what a server would call.
        plan: which; None for the file that the setting `chaos` names.

    Raises:
        ChaosRefused: not here: the environment is not declared, or this Python cannot.
        PlanError: the plan does not fit the app.
        everylayer.faults.watched.Unavailable: other tools use what it takes.
    """
    permit.check(os.environ)
    if sys.version_info < (3, 12):
        raise ChaosRefused(
            "Chaos needs Python 3.12 or newer: on {}.{} each call of a function would have to be "
            "traced, which is too slow for a running app, and only in threads that are yet to "
            "start.".format(*sys.version_info)
        )
    if plan is None:
        path = settings.current().chaos
        if not path:
            raise ChaosRefused("Chaos is off: no plan is given, and the setting chaos is empty.")
        plan = Chaos.load(path)
    made = Running(plan, chain_of(app))
    _running.append(made)
    return made


def stop() -> None:
    """Stop whatever `start` has begun in this process."""
    for each in list(_running):
        each.stop()


def chain_of(app: Any) -> Chain:
    """Return the chain of `app` as it runs.

    Raises:
        ChaosRefused: it is no app.
    """
    known: list[Adapter] = adapters()
    for adapter in (*known, Neutral(known)):
        if adapter.claims(app):
            return adapter.chain(app)
    names = ", ".join(adapter.framework for adapter in known) or "none"
    raise ChaosRefused(
        f"Chaos finds no way into a {type(app).__module__}.{type(app).__qualname__}: it is neither "
        f"a WSGI nor an ASGI app, nor one of a framework whose package is installed ({names})."
    )


def _places(rule: Rule, chain: Chain) -> tuple[Place, ...]:
    found = tuple(
        Place(node.id, node.name, phase)
        for node in _nodes(chain.nodes)
        if fnmatch.fnmatchcase(node.name, rule.layer) or fnmatch.fnmatchcase(node.id, rule.layer)
        for phase in node.phases
        if rule.phase in (phase, "*") and (node.id, phase) in chain.points
    )
    if not found:
        names = dict.fromkeys(node.name for node in _nodes(chain.nodes) if node.phases)
        raise PlanError(
            f"layer is {rule.layer!r} and phase {rule.phase!r}, which no layer of this app fits. "
            f"There are: {', '.join(names) or 'none'}."
        )
    return found


def _nodes(nodes: Sequence[ChainNode]) -> Iterator[ChainNode]:
    for node in nodes:
        yield node
        yield from _nodes(node.inner)
