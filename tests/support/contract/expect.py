"""The outcome a case must have, as a value, and the one check of it against the spans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from .faults import RAISING_FUNCTION, Fault
from .telemetry import (
    SpanEvent,
    error_events,
    late_spans,
    parent_of,
    server_spans,
    trace_ids,
    tree,
)

MAX_MESSAGE_BYTES = 4096
MAX_STACK_BYTES = 16384
MAX_DESCRIPTION_CHARS = 512


@dataclass(frozen=True)
class Expected:
    """What the trace of one request must show.

    Attributes:
        event: the fault is recorded; False: no exception event in the whole trace.
        status: of the span that carries the event, of the server span where there is none.
        handled: value of `everylayer.handled`.
        late: on a child span `<layer> (late)` instead of the server span.
        layer: `everylayer.layer.name`; None leaves it open.
        kind: `everylayer.layer.kind`; None leaves it open.
        phase: `everylayer.layer.phase`; None leaves it open.
        also: types of further events that the same request must show, in order.
        server_status: of the server span of a late error; None leaves it open.
    """

    event: bool = True
    status: Literal["ERROR", "UNSET"] = "ERROR"
    handled: bool = False
    late: bool = False
    layer: str | None = None
    kind: str | None = None
    phase: str | None = None
    also: tuple[str, ...] = ()
    server_status: Literal["ERROR", "UNSET"] | None = None


NOTHING = Expected(event=False, status="UNSET")
HANDLED = Expected(status="UNSET", handled=True)
ESCAPED = Expected()
LATE = Expected(late=True)


def check(
    spans: Sequence[ReadableSpan], fault: Fault, expected: Expected, *, ours: bool = True
) -> None:
    """Fail, with the trace as a tree, unless `spans` shows `fault` as `expected`.

    Args:
        spans: everything exported for ONE request.
        fault: what was raised.
        expected: the outcome.
        ours: also demand the attributes that only everylayer writes.
    """
    found = problems(spans, fault, expected, ours=ours)
    if found:
        listed = "\n".join(f"  - {problem}" for problem in found)
        raise AssertionError(f"{fault} is not as {expected}:\n{listed}\nthe trace:\n{tree(spans)}")


def problems(
    spans: Sequence[ReadableSpan], fault: Fault, expected: Expected, *, ours: bool = True
) -> list[str]:
    """Return what is wrong with the trace, nothing when it is as expected."""
    found: list[str] = []
    servers = server_spans(spans)
    if len(servers) != 1:
        found.append(f"{len(servers)} server spans, expected 1")
    if len(trace_ids(spans)) > 1:
        found.append(f"{len(trace_ids(spans))} traces, expected 1")
    events = error_events(spans)
    if not expected.event:
        found += [f"unwanted event {_type(e)} on {e.span.name!r}" for e in events]
        found += _status_of(servers, expected.status)
        return found

    mine = [e for e in events if _type(e) == fault.type]
    others = [_type(e) for e in events if _type(e) != fault.type]
    if len(mine) != 1:
        found.append(f"{len(mine)} events of {fault.type}, expected exactly 1")
    if others != list(expected.also):
        found.append(f"other events {others}, expected {list(expected.also)}")
    if mine:
        found += _event_problems(mine[0], fault, expected, ours=ours)
        found += _place_problems(mine[0], spans, servers, expected)
        found += _status_problems(mine[0], events, fault, expected, ours=ours)
    if expected.late and expected.server_status:
        found += _status_of(servers, expected.server_status)
    return found


def _type(found: SpanEvent) -> str:
    return str((found.event.attributes or {}).get("exception.type"))


def _event_problems(found: SpanEvent, fault: Fault, expected: Expected, *, ours: bool) -> list[str]:
    attributes = found.event.attributes or {}
    wrong: list[str] = []
    message = str(attributes.get("exception.message", ""))
    if not message_fits(message, fault):
        wrong.append(f"message {message!r:.200}, expected {fault.message!r:.200}")
    stack = str(attributes.get("exception.stacktrace", ""))
    wrong += [
        f"stack does not name {text!r}: {stack[-600:]!r}"
        for text in (RAISING_FUNCTION, *fault.shows)
        if text not in stack
    ]
    wrong += [f"stack gives away {text!r}" for text in fault.hides if text in stack]
    if not ours:
        return wrong
    if len(stack.encode()) > MAX_STACK_BYTES:
        wrong.append(f"stack of {len(stack.encode())} bytes, budget {MAX_STACK_BYTES}")
    if "exception.escaped" in attributes:
        wrong.append("the deprecated exception.escaped is set")
    wrong += _differences(
        attributes,
        {
            "everylayer.handled": expected.handled,
            "everylayer.layer.name": expected.layer,
            "everylayer.layer.kind": expected.kind,
            "everylayer.layer.phase": expected.phase,
        },
    )
    if not attributes.get("everylayer.layer.name"):
        wrong.append("no layer is named")
    function = str(attributes.get("code.function.name", ""))
    if not function.endswith(RAISING_FUNCTION):
        wrong.append(f"code.function.name is {function!r}")
    return wrong


def message_fits(message: str, fault: Fault) -> bool:
    """Tell whether `message` is what `fault` says, made valid UTF-8 and cut to its budget."""
    try:
        size = len(message.encode())
    except UnicodeEncodeError:
        return False
    if fault.message is None:
        return bool(message)
    wanted = fault.message.encode("utf-8", "backslashreplace").decode()
    if len(wanted.encode()) <= MAX_MESSAGE_BYTES:
        return message == wanted
    return size <= MAX_MESSAGE_BYTES and message[:6] == wanted[:6] and message[-4:] == wanted[-4:]


def _place_problems(
    found: SpanEvent,
    spans: Sequence[ReadableSpan],
    servers: Sequence[ReadableSpan],
    expected: Expected,
) -> list[str]:
    if not expected.late:
        return [] if found.span in servers else [f"the event is on {found.span.name!r}"]
    if found.span not in late_spans(spans):
        return [f"the event is on {found.span.name!r}, expected a late span"]
    if parent_of(found.span, spans) is None:
        return [f"{found.span.name!r} has no parent in the trace"]
    return []


def _status_problems(
    found: SpanEvent,
    events: Sequence[SpanEvent],
    fault: Fault,
    expected: Expected,
    *,
    ours: bool,
) -> list[str]:
    wrong = _status_of([found.span], expected.status)
    if found.span.status.status_code is not StatusCode.ERROR or not ours:
        return wrong
    description = found.span.status.description
    if not description:
        return [*wrong, "the status has no description"]
    if len(description) > MAX_DESCRIPTION_CHARS:
        wrong.append(f"description of {len(description)} characters")
    same_span = [e.event.attributes or {} for e in events if e.span is found.span]
    if not any(_describes(description, attributes) for attributes in same_span):
        wrong.append(f"description {description!r:.120} is of no event on the span")
    wanted_types = {fault.type, *expected.also}
    if (found.span.attributes or {}).get("error.type") not in wanted_types:
        wrong.append(f"error.type is {(found.span.attributes or {}).get('error.type')!r}")
    return wrong


def _describes(description: str, attributes: Mapping[str, Any]) -> bool:
    message = str(attributes.get("exception.message", ""))
    if not message.strip():
        return str(attributes.get("exception.type")) in description
    wanted, given = " ".join(message.split()), " ".join(description.split())
    if len(wanted) <= MAX_DESCRIPTION_CHARS:
        return given == wanted
    return given[:6] == wanted[:6]


def _status_of(spans: Sequence[ReadableSpan], wanted: str) -> list[str]:
    return [
        f"status of {span.name!r} is {span.status.status_code.name}, expected {wanted}"
        for span in spans
        if span.status.status_code.name != wanted
    ]


def _differences(attributes: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    return [
        f"{name} is {attributes.get(name)!r}, expected {value!r}"
        for name, value in wanted.items()
        if value is not None and attributes.get(name) != value
    ]
