"""What an audit meets on the way: breaches of the protocol, layers that hide errors. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from . import response
from .model import Answer, Arm, ChainNode, Fault, Finding, Row, Trial
from .plan import walk

_BREACHES = {
    response.STARTED_TWICE: (
        "started-twice",
        "do not answer an error once the response has started: raise it again",
    ),
    response.HEADERS_LATE: (
        "header-after-start",
        "set headers before the response is started: by then they have been sent",
    ),
    response.AFTER_START: (
        "exception-after-start",
        "do what can fail before the response is started, or count on a cut connection",
    ),
}
_AUTH = re.compile(
    r"auth|session|permission|login|token|jwt|csrf|identity|principal|acl", re.IGNORECASE
)


def find_hazards(
    nodes: Iterable[ChainNode],
    rows: Sequence[Row],
    bare: Mapping[Fault, Trial],
    looks: Mapping[Arm, Trial],
) -> list[Finding]:
    """Return each hazard once.

    Args:
        nodes: the chain.
        rows: every fault that was put.
        bare: its trial without telemetry.
        looks: the run without any fault, by arm.
    """
    known = {node.id: node for node in walk(nodes)}
    tried = [bare[row.fault] for row in rows if row.fault in bare and bare[row.fault].reached]
    return [
        *_breaches(known, tried, looks.get("bare")),
        *_hidden_errors(known, tried, looks.get("bare")),
        *_caught_cancellations(known, tried),
        *_auth_outside(known, looks.get("stock")),
    ]


def _breaches(
    known: Mapping[str, ChainNode], tried: Sequence[Trial], look: Trial | None
) -> Iterator[Finding]:
    """Tell of breaches without any fault first, and of each with the first fault that shows it."""
    told: set[str] = set()
    # In the other shapes a layer answers that is not the app's.
    raised = [trial for trial in tried if trial.fault.shape == "raised"]
    for trial in ([look] if look is not None else []) + raised:
        for hazard in trial.answer.hazards:
            if hazard in told or _is_natural(hazard, trial):
                continue
            told.add(hazard)
            kind, remedy = _BREACHES.get(hazard, ("protocol", ""))
            node = known.get(trial.fault.node)
            if node is None:
                yield Finding(kind, f"{hazard}, without any fault", remedy=remedy)
            else:
                when = f"when {node.name} fails ({trial.fault.phase})"
                where = node.where
                if hazard == response.STARTED_TWICE:
                    # It is not this layer that answers, but the one that catches its error.
                    when, where = f"{when} and another layer answers that", ""
                yield Finding(kind, f"{hazard}, {when}", node.id, where, remedy)


def _is_natural(hazard: str, trial: Trial) -> bool:
    """Tell whether the fault itself is the breach: one put after the start comes after it.

    Nor is it one to answer 500 and hand the error on to the server, as Starlette does.
    """
    if hazard == response.AFTER_START and (trial.answer.status or 0) >= 500:
        return True
    late = trial.fault.error != "none" and trial.fault.phase != "before"
    return late and hazard in (response.AFTER_START, response.NEVER_ENDED, response.LENGTH)


def _hidden_errors(
    known: Mapping[str, ChainNode], tried: Sequence[Trial], look: Trial | None
) -> Iterator[Finding]:
    """Name the layer inside which errors end as less than 500, and outside which they do not."""
    if look is None or _failed(look.answer):
        return
    order = [visit.node for visit in look.visits if visit.phase == "before"]
    outcome = {
        trial.fault.node: trial
        for trial in tried
        if trial.fault.shape == "raised"
        and trial.fault.phase == "before"
        and trial.fault.error == "error"
    }
    outside = ""
    hidden_by: dict[str, list[Trial]] = {}
    for node_id in dict.fromkeys(order):
        trial = outcome.get(node_id)
        if trial is None:
            continue
        if _failed(trial.answer):
            outside = node_id
        else:
            hidden_by.setdefault(_handler(known, trial, look) or outside, []).append(trial)
    for hider, trials in hidden_by.items():
        node = known.get(hider)
        status = trials[0].answer.said
        names = ", ".join(dict.fromkeys(known[t.fault.node].name for t in trials[:3]))
        yield Finding(
            "error-hidden",
            f"{node.name if node else 'a layer outside all others'} answers {status} where "
            f"{names} {'fails' if len(trials) == 1 else 'fail'}",
            node.id if node else "",
            node.where if node else "",
            "answer 500, so that clients, caches and monitors see the failure",
        )


def _handler(known: Mapping[str, ChainNode], trial: Trial, look: Trial) -> str:
    """Return the error handler that only the failing request has passed, "" for none."""
    normal = {visit.node for visit in look.visits}
    for visit in trial.visits:
        node = known.get(visit.node)
        if node is not None and node.kind == "handler" and visit.node not in normal:
            return visit.node
    return ""


def _failed(answer: Answer) -> bool:
    return answer.status is None or answer.status >= 500 or bool(answer.escaped)


def _caught_cancellations(
    known: Mapping[str, ChainNode], tried: Sequence[Trial]
) -> Iterator[Finding]:
    for trial in tried:
        if trial.fault.error != "cancelled":
            continue
        if trial.answer.escaped:
            # Itself, or what a task group makes of a task of its own that was cancelled.
            continue
        # Who has been told of a cancellation and returns all the same has caught it.
        catcher = next((v for v in trial.visits if v.phase == "after"), None)
        if catcher is not None and catcher.at.endswith(":dispatch"):
            # Starlette's `call_next` tells of another task, as of any that brings no response.
            return
        node = known.get(catcher.node) if catcher is not None else None
        yield Finding(
            "cancelled-caught",
            f"{node.name if node else 'a layer'} catches CancelledError: a client that goes away "
            f"does not stop the work for it",
            node.id if node else "",
            node.where if node else "",
            "let CancelledError pass: `except Exception` does, a bare `except` does not",
        )
        return


def _auth_outside(known: Mapping[str, ChainNode], look: Trial | None) -> Iterator[Finding]:
    if look is None or not look.spans:
        return
    told: set[str] = set()
    for visit in look.visits:
        node = known.get(visit.node)
        if node is None or visit.phase != "before" or visit.span_id or node.id in told:
            continue
        if _AUTH.search(node.name):
            told.add(node.id)
            yield Finding(
                "auth-outside",
                f"{node.name} runs outside the server span of stock instrumentation, which "
                f"records none of its errors",
                node.id,
                node.where,
                "use everylayer, or move the instrumentation outside of this layer",
            )
