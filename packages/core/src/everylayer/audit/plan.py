"""Which faults an audit will put, and what it says of that before it does."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from .model import SHAPES, ChainNode, Fault, Phase, Request, Shape
from .wire import TargetError

ENDPOINT = "endpoint"
LOOK: Fault = Fault("", "before", "raised", "look", "none")
PHASES: tuple[Phase, ...] = ("before", "after", "stream", "teardown", "background")


class PlanError(TargetError):
    """Nothing can be tried as it was asked for, and why, in one sentence."""


@dataclass(frozen=True)
class Plan:
    """All faults that are wanted, in the order of the chain.

    Which of them the request reaches is not known before it is sent.
    """

    request: Request
    faults: tuple[Fault, ...]

    @property
    def trials(self) -> tuple[Fault, ...]:
        """Return what is tried in each run: a look first, then the faults, shape by shape."""
        return (LOOK, *sorted(self.faults, key=lambda fault: SHAPES.index(fault.shape)))

    @property
    def nodes(self) -> tuple[str, ...]:
        """The ids of the nodes that anything is tried at, in order."""
        return tuple(dict.fromkeys(fault.node for fault in self.faults))


def walk(nodes: Iterable[ChainNode]) -> Iterator[ChainNode]:
    """Yield `nodes` with all that is in them, outermost first."""
    for node in nodes:
        yield node
        yield from walk(node.inner)


def make_plan(
    nodes: Sequence[ChainNode],
    request: Request,
    *,
    layers: Sequence[str] = (),
    phases: Collection[Phase] = (),
    shapes: Collection[Shape] = (),
    is_async: bool = False,
) -> Plan:
    """Return every node x phase x shape that has a point and was asked for.

    Args:
        nodes: the chain.
        request: what each trial sends.
        layers: names, ids or patterns of the layers wanted; none for all.
        phases: those wanted; none for all.
        shapes: those wanted; none for all.
        is_async: the app is ASGI, so that its task may be cancelled.

    Raises:
        PlanError: there is nothing to try.
    """
    wanted = _chosen(list(walk(nodes)), layers)
    faults: list[Fault] = []
    for node in wanted:
        for phase in PHASES:
            if phase in node.phases and (not phases or phase in phases):
                faults += [_fault(node, phase, s) for s in SHAPES if not shapes or s in shapes]
        cancel = is_async and (not shapes or "raised" in shapes)
        if cancel and _may_be_cancelled(node, phases):
            faults.append(_fault(node, "before", "raised", "cancelled"))
    if not faults:
        raise PlanError(_nothing(wanted, phases))
    return Plan(request, tuple(faults))


def _fault(node: ChainNode, phase: Phase, shape: Shape, error: str = "error") -> Fault:
    # From what it is, so that two reports of one app can be compared.
    what = f"{node.id}/{node.name}/{phase}/{shape}/{error}"
    token = f"fault-{hashlib.sha256(what.encode('utf-8', 'replace')).hexdigest()[:12]}"
    return Fault(node.id, phase, shape, token, "cancelled" if error == "cancelled" else "error")


def _may_be_cancelled(node: ChainNode, phases: Collection[Phase]) -> bool:
    return (
        node.kind == ENDPOINT
        and node.mode != "sync"
        and "before" in node.phases
        and (not phases or "before" in phases)
    )


def _chosen(nodes: Sequence[ChainNode], layers: Sequence[str]) -> list[ChainNode]:
    for pattern in layers:
        if not any(_matches(node, pattern) for node in nodes):
            names = sorted({node.name for node in nodes if node.phases})
            close = difflib.get_close_matches(pattern, names, n=3, cutoff=0.4) or names[:8]
            raise PlanError(f"no layer is called {pattern!r}; there is {', '.join(close)}")
    return [node for node in nodes if not layers or any(_matches(node, p) for p in layers)]


def _matches(node: ChainNode, pattern: str) -> bool:
    if pattern == node.id:
        return True
    # As people call it: the class alone, in whatever case.
    names = {node.name, node.name.rpartition(".")[2]}
    return any(fnmatchcase(name.lower(), pattern.lower()) for name in names)


def _nothing(wanted: Sequence[ChainNode], phases: Collection[Phase]) -> str:
    have = sorted({phase for node in wanted for phase in node.phases}, key=PHASES.index)
    if have and phases:
        return f"none of these layers has the phase {' or '.join(phases)}; try {', '.join(have)}"
    return "there is no layer here in which a fault can be put"


def describe(plan: Plan, target: str, nodes: Sequence[ChainNode], arms: Sequence[str]) -> str:
    """Return what the audit would do, for people."""
    by_id = {node.id: node for node in walk(nodes)}
    request = f"{plan.request.method} {plan.request.path}"
    lines = [f"An audit of {target} would send {request} for each of these faults,"]
    lines += [f"in the arms {', '.join(arms)}:", ""]
    endpoints = 0
    for node_id in plan.nodes:
        node = by_id[node_id]
        if node.kind == ENDPOINT:
            endpoints += 1
            continue
        mine = [fault for fault in plan.faults if fault.node == node_id]
        lines.append(f"  {node_id:>5}  {node.name}: {_tried(mine)}")
    if endpoints:
        lines.append(f"         and the endpoint that answers the request, one of {endpoints}")
    return "\n".join([*lines, "", *_TOUCHES])


def _tried(faults: Sequence[Fault]) -> str:
    phases = dict.fromkeys(fault.phase for fault in faults)
    shapes = dict.fromkeys(fault.shape for fault in faults)
    return f"{', '.join(phases)}; {', '.join(shapes)}"


_TOUCHES = (
    "It will touch: child processes of its own, in which the app is imported and opened, and",
    "whatever the app itself does at its start and for this request, in its database too.",
    "It will not touch: the network. No port is opened, no request leaves the process, and spans,",
    "metrics, logs of OpenTelemetry and events of Sentry are kept in memory.",
    "Nothing was sent now: the app was imported to read its chain.",
)
