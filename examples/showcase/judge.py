"""Did the trace keep the error? Decided from the received spans and the client's answer alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .cases import Case
from .client import Answer
from .receiver import Event, Span

LATE = " (late)"
LAYER = "everylayer.layer.name"


@dataclass(frozen=True)
class Verdict:
    """What the trace of one request shows of its error.

    Attributes:
        kept: the error is there, once, complete, and the status is right.
        event: any exception event of it is there.
        shows: the same in a few words.
    """

    kept: bool
    event: bool
    shows: str


def judge(case: Case, answer: Answer, spans: Sequence[Span]) -> Verdict:
    """Compare the spans of one request with what was raised in it.

    Kept means: on the request's server span, or on a late child of it, exactly one event of the
    right type with message and a stack that names where it was raised; and the span is ERROR if
    the request failed or the error came after the answer, and is not if a response below 500
    answered it.
    """
    servers = [span for span in spans if span.kind == "SERVER"]
    if not servers:
        return Verdict(False, False, "no server span" if spans else "no span")
    if len(servers) > 1:
        return Verdict(False, False, f"{len(servers)} server spans")
    places = [*servers, *(span for span in spans if span.name.endswith(LATE))]
    found = [(s, e) for s in places for e in s.errors if e["exception.type"] == case.type]
    if not found:
        return Verdict(False, False, f"{_status(servers[0])}, no exception")
    span, event = found[0]
    wrong = _wrong(case, event)
    if len(found) > 1:
        wrong.append(f"{len(found)} times")
    handled = answer.complete and 0 < answer.status < 500 and not case.after
    if handled and span.status == "ERROR":
        wrong.append(f"marked ERROR, answered {answer.code or answer.status}")
    if not handled and span.status != "ERROR":
        wrong.append("not marked ERROR")
    if wrong:
        return Verdict(False, True, f"event, but {', '.join(wrong)}")
    return Verdict(True, True, _praise(span, event, handled=handled))


def _wrong(case: Case, event: Event) -> list[str]:
    wrong: list[str] = []
    if not event["exception.message"].startswith(case.message):
        wrong.append("other message")
    if f"in {case.where}" not in event["exception.stacktrace"]:
        wrong.append(f"no {case.where}() in the stack")
    # Stock names no layer, and is not blamed for it.
    layer = event[LAYER]
    if layer and layer not in case.named:
        wrong.append(f"layer named {layer}, not {' or '.join(case.named)}")
    return wrong


def _status(span: Span) -> str:
    return "ERROR" if span.status == "ERROR" else "no error"


def _praise(span: Span, event: Event, *, handled: bool) -> str:
    late = ", late span" if span.name.endswith(LATE) else ""
    layer = event[LAYER]
    return f"event, {'handled' if handled else 'ERROR'}{late}{f': {layer}' if layer else ''}"
