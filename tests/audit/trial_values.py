"""Small values of an audit, for the parts that judge them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from everylayer.audit.injected import message_of
from everylayer.audit.model import (
    Answer,
    Arm,
    ChainNode,
    Fault,
    Phase,
    SpanData,
    SpanEvent,
    Trial,
    Visit,
)

TRACE = "0af7651916cd43dd8448eb211c80319c"
SERVER = "b7ad6b7169203331"
FAULT = Fault("1", "before", "raised", "fault-1")
LOOK = Fault("", "before", "raised", "look", "none")
OK = Answer(200, (("Content-Type", "text/plain"),), "aa" * 32, 5)
BROKEN = Answer(500, (("Content-Type", "text/plain"),), "bb" * 32, 21)
AT = "/srv/app/auth.py:dispatch"
STACK = (
    "Traceback (most recent call last):\n"
    '  File "/srv/app/auth.py", line 12, in dispatch\n'
    "    token = read(request)\n"
    "everylayer.audit.injected.InjectedFault: injected by the audit: fault-1\n"
)


def node(
    node_id: str,
    name: str,
    kind: str = "class",
    phases: Sequence[Phase] = ("before", "after"),
    inner: Sequence[ChainNode] = (),
    mode: str = "async",
) -> ChainNode:
    return ChainNode(
        node_id, name, kind, f"/srv/app/{name}.py:7", mode, "probe", tuple(phases), tuple(inner)
    )


def event(fault: Fault = FAULT, **changes: Any) -> SpanEvent:
    """Return the event of a fault; keywords are attributes, `__` for each dot."""
    values: dict[str, Any] = {
        "exception.type": "everylayer.audit.injected.InjectedFault",
        "exception.message": message_of(fault),
        "exception.stacktrace": STACK,
    }
    values.update({name.replace("__", "."): value for name, value in changes.items()})
    return SpanEvent("exception", 5, values)


def translated(**changes: Any) -> SpanEvent:
    given = {
        "exception__type": "everylayer_flask.audit.shapes.Translated",
        "exception__message": "translated",
        "everylayer__exception__chain": ["cause: everylayer.audit.injected.InjectedFault"],
    }
    return event(**{**given, **changes})


def server(*events: SpanEvent, status: str = "ERROR", **changes: Any) -> SpanData:
    given: dict[str, Any] = {
        "name": "GET /",
        "trace_id": TRACE,
        "span_id": SERVER,
        "kind": "SERVER",
        "start": 10,
        "end": 20,
        "status": status,
        "events": events,
    }
    return SpanData(**{**given, **changes})


def late(*events: SpanEvent, status: str = "ERROR") -> SpanData:
    return SpanData(
        "Auth (late)", TRACE, "c" * 16, SERVER, start=30, end=31, status=status, events=events
    )


def visit(
    node_id: str = "1",
    phase: Phase = "before",
    span: str = SERVER,
    *,
    trace: str = TRACE,
    recording: bool = True,
    thread: str = "MainThread",
    context: int = 1,
) -> Visit:
    """Return a visit; an empty `span` is that of no span at all."""
    return Visit(
        node_id,
        phase,
        trace if span else "",
        span,
        recording and bool(span),
        thread,
        "Task-1",
        context,
        AT,
    )


def trial(
    *spans: SpanData,
    arm: Arm = "everylayer",
    fault: Fault = FAULT,
    answer: Answer = BROKEN,
    visits: Sequence[Visit] | None = None,
    **changes: Any,
) -> Trial:
    seen = (visit(fault.node or "1", fault.phase),) if visits is None else tuple(visits)
    given: dict[str, Any] = {"reached": True, "visits": seen, "spans": spans}
    return Trial(arm=arm, fault=fault, answer=answer, **{**given, **changes})
