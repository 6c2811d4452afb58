"""Where did the span go? Pure, from what the points saw of a request without any fault."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from .model import Arm, ChainNode, Finding, SpanData, Trial, Visit
from .plan import walk
from .verdict import server_span

KINDS = {
    "context-fresh": (
        "what it leads to runs in a fresh contextvars.Context",
        "give it a copy: create_task(..., context=contextvars.copy_context())",
    ),
    "context-thread": (
        "what it leads to runs in another thread, which does not inherit the context",
        "give it the context: asyncio.to_thread, or contextvars.copy_context().run in an executor",
    ),
    "context-detached": (
        "the token of the request's span is detached before the layers inside have run",
        "detach only what was attached in the same function, after it has returned (try/finally)",
    ),
    "span-not-recording": (
        "a span that does not record is made the current one",
        "start spans with the request's context, and do not put a NonRecordingSpan around the app",
    ),
    "span-ended-early": (
        "the request's span has ended although layers inside are still at work",
        "end the span where the response has been sent, not before",
    ),
    "other-trace": (
        "a span of another trace is the current one",
        "start the span with the current context, not with an empty one; link to the other trace",
    ),
    "span-left": (
        "a span is still the current one when the request is over, and the next one inherits it",
        "detach it in a finally block, or use `with tracer.start_as_current_span`",
    ),
}


_OF_INSTRUMENTATION = "let the outermost instrumentation alone begin a server span"


class _Loss(NamedTuple):
    kind: str
    node: str
    # Where it showed first.
    seen: str = ""


def find_losses(nodes: Iterable[ChainNode], looks: Mapping[Arm, Trial]) -> list[Finding]:
    """Return the layers that lose the request's span, each once.

    Args:
        nodes: the chain.
        looks: the run without any fault, of the arms that have telemetry.
    """
    line = list(walk(nodes))
    arms: dict[_Loss, list[Arm]] = {}
    for arm, trial in looks.items():
        for loss in _losses(trial):
            arms.setdefault(loss, []).append(arm)
    return [_finding(loss, _blamed(loss, line), found, len(looks)) for loss, found in arms.items()]


def _blamed(loss: _Loss, line: Sequence[ChainNode]) -> ChainNode | None:
    """Return the layer that lost it: instrumentation has no points, and may stand behind it."""
    places = {node.id: place for place, node in enumerate(line)}
    if loss.node not in places:
        return None
    found = line[places[loss.node]]
    behind = line[places[loss.node] + 1 : places.get(loss.seen, 0)]
    return next((node for node in behind if node.kind == "instrumentation"), found)


def _losses(trial: Trial) -> Iterator[_Loss]:
    server = server_span(trial.spans)
    if server is not None:
        loss = _first_loss(trial.visits, server)
        if loss is not None:
            yield loss
    if trial.leftover:
        yield _Loss("span-left", _left_by(trial))


def _first_loss(visits: Sequence[Visit], server: SpanData) -> _Loss | None:
    last: Visit | None = None
    had: set[str] = set()
    for visit in visits:
        # A body is often produced when the span is over, in every framework.
        if visit.phase not in ("before", "after"):
            continue
        if _has(visit, server):
            last = visit
            had.add(visit.node)
        elif last is not None and visit.phase == "before":
            return _Loss(_kind(visit, last, server), last.node, visit.node)
        elif _lost_inside(visit, had, server):
            assert last is not None
            return _Loss(_kind(visit, last, server), visit.node)
    return None


def _lost_inside(visit: Visit, had: set[str], server: SpanData) -> bool:
    """Tell whether a layer that began with the span returns without it.

    One that has only ended is no loss: stock ends and detaches its span with the last part of the
    body, or under Flask before the first one.
    """
    ended = 0 < server.end <= visit.time
    lost = visit.phase == "after" and visit.node in had and visit.trace_id != server.trace_id
    return lost and not ended


def _has(visit: Visit, server: SpanData) -> bool:
    return visit.recording and visit.trace_id == server.trace_id


def _kind(visit: Visit, last: Visit, server: SpanData) -> str:
    """Tell what has become of the span between the last visit that had it and this one."""
    if visit.span_id:
        if visit.trace_id != server.trace_id:
            return "other-trace"
        return "span-ended-early" if visit.span_id == last.span_id else "span-not-recording"
    if visit.context == last.context:
        return "context-detached"
    return "context-fresh" if visit.thread == last.thread else "context-thread"


def _left_by(trial: Trial) -> str:
    """Return the innermost layer after whose start the span that is left was the current one."""
    under = [visit for visit in trial.visits if visit.phase == "before"]
    before = ""
    for visit in under:
        if visit.span_id == trial.leftover:
            return before
        before = visit.node
    return ""


def _finding(loss: _Loss, node: ChainNode | None, arms: Sequence[Arm], of: int) -> Finding:
    what, remedy = KINDS[loss.kind]
    if node is not None and node.kind == "instrumentation":
        remedy = _OF_INSTRUMENTATION
    where = "" if len(arms) == of else f" (in the arm {' and '.join(arms)})"
    name = node.name if node is not None else "no layer that could be told"
    return Finding(
        kind=loss.kind,
        text=f"{name}: {what}{where}",
        node=node.id if node is not None else "",
        where=node.where if node is not None else "",
        remedy=remedy,
    )
