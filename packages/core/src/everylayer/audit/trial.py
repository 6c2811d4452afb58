"""In the child: faults put one after the other, and what came of each."""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from contextvars import ContextVar
from typing import Protocol

from opentelemetry import trace

from ..failsafe import own_failures
from ..faults.point import Point
from .adapter import Driver, Opened
from .drive import driving
from .hosts import ask
from .injected import InjectedFault, Translated, message_of
from .model import Answer, Arm, Fault, Phase, Request, SpanData, Trial, Visit
from .plan import LOOK

Place = tuple[str, Phase]

# A body of a million chunks is one place all the same.
_MOST_VISITS = 2000

# Inherited by each copy of the request's context, and not there in a fresh one.
_context_id: ContextVar[int] = ContextVar("everylayer_audit_context", default=0)
_context_ids = itertools.count(1)


class Spans(Protocol):
    """Where the spans of the process are kept."""

    def reset(self) -> None:
        """Forget all spans."""

    def spans(self) -> tuple[SpanData, ...]:
        """Return those that have ended."""


def run_trials(
    opened: Opened, request: Request, faults: Sequence[Fault], arm: Arm, store: Spans
) -> Iterator[Trial]:
    """Yield what comes of each of `faults`, in their order.

    A fault whose place a request without any fault does not pass is not tried.
    """
    points = opened.chain.points
    request = ask(opened.request or request, opened.host)
    passed: dict[Place, Point] | None = None
    with driving(opened) as driver:

        def attempt(fault: Fault, places: dict[Place, Point]) -> Trial:
            return _attempt(driver, request, Visits(fault), places, store, arm)

        for fault in faults:
            if passed is None or fault.error == "none":
                looked = attempt(LOOK if fault.error != "none" else fault, points)
                found = {(visit.node, visit.phase) for visit in looked.visits}
                passed = {place: point for place, point in points.items() if place in found}
            if fault.error == "none":
                yield looked
            elif (fault.node, fault.phase) in passed:
                yield attempt(fault, passed)
            else:
                yield Trial(arm, fault, reached=False, answer=Answer())


def _attempt(
    driver: Driver,
    request: Request,
    visits: Visits,
    points: dict[Place, Point],
    store: Spans,
    arm: Arm,
) -> Trial:
    store.reset()
    failures, translated = _own_failures(), Translated.made
    _context_id.set(next(_context_ids))
    with ExitStack() as armed:
        for place, point in points.items():
            armed.callback(point.disarm)
            point.arm(visits.at(*place))
        answer = driver.send(request)
    return Trial(
        arm=arm,
        fault=visits.fault,
        reached=visits.put or visits.fault.error == "none",
        answer=answer,
        visits=tuple(visits.made),
        spans=store.spans(),
        own_failures=_own_failures() - failures,
        leftover=driver.leftover,
        translated=Translated.made > translated,
    )


class Visits:
    """What happens at the points of one trial: each visit is noted, and the fault is put, once.

    Attributes:
        made: in the order of time.
        put: the fault was put.
    """

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.made: list[Visit] = []
        self.put = False
        self._lock = threading.Lock()

    def at(self, node: str, phase: Phase) -> Callable[[], None]:
        """Return what a point is armed with."""
        fault = self.fault
        mine = fault.error != "none" and (fault.node, fault.phase) == (node, phase)

        def visit() -> None:
            if len(self.made) < _MOST_VISITS:
                self.made.append(_look(node, phase))
            if mine and self._first():
                if fault.error == "cancelled":
                    raise asyncio.CancelledError(message_of(fault))
                raise InjectedFault(message_of(fault))

        return visit

    def _first(self) -> bool:
        """A second attempt of the app's, after a fault, works: so each fault is one error."""
        with self._lock:
            first, self.put = not self.put, True
        return first


def _look(node: str, phase: Phase) -> Visit:
    span = trace.get_current_span()
    context = span.get_span_context()
    if not _context_id.get():
        _context_id.set(next(_context_ids))
    return Visit(
        node=node,
        phase=phase,
        trace_id=f"{context.trace_id:032x}" if context.is_valid else "",
        span_id=f"{context.span_id:016x}" if context.is_valid else "",
        recording=bool(type(span).is_recording(span)),
        thread=threading.current_thread().name,
        task=_task_name(),
        context=_context_id.get(),
        at=_function_there(),
        time=time.time_ns(),
    )


def _task_name() -> str:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return ""
    return task.get_name() if task is not None else ""


def _function_there() -> str:
    """Return the function that has reached a point: the first frame that is none of ours."""
    frame = sys._getframe(1)
    while frame is not None:
        if not str(frame.f_globals.get("__name__", "")).startswith("everylayer"):
            return f"{frame.f_code.co_filename}:{frame.f_code.co_name}"
        if frame.f_back is None:
            break
        frame = frame.f_back
    return ""


def _own_failures() -> int:
    return sum(own_failures().values())
