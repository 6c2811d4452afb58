"""Spans in the order in which a trace is read: each below its parent, with times from the start."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from ...text import clean
from ..model import SpanData, SpanEvent
from .limits import MAX_DEPTH

# Beyond it, a JavaScript number is not the integer that was meant.
_EXACT = 2**53
_MAX_INDENT = 40
_LEFT_OUT = "[nested too deep]"


def traces(spans: Iterable[SpanData]) -> dict[str, list[SpanData]]:
    """Return the spans of each trace by its id, in the order of first sight."""
    found: defaultdict[str, list[SpanData]] = defaultdict(list)
    for span in spans:
        found[span.trace_id].append(span)
    return dict(found)


def waterfall(spans: Sequence[SpanData]) -> list[dict[str, Any]]:
    """Return the spans of a trace, parents first, as values for JSON.

    `at` and `lasts` are microseconds, `at` from the earliest start; `lasts` is None for a span
    that never ended. `depth` is the number of ancestors that are there.
    """
    zero = min((span.start for span in spans), default=0)
    return [_drawn(span, min(depth, _MAX_INDENT), zero) for span, depth in _in_order(spans)]


def _in_order(spans: Sequence[SpanData]) -> list[tuple[SpanData, int]]:
    """Return spans with their depth. Every span comes once, even of a cycle or with an id twice."""
    known = {span.span_id for span in spans}
    children: defaultdict[str, list[SpanData]] = defaultdict(list)
    by_start = sorted(spans, key=lambda span: span.start)
    for span in by_start:
        children[span.parent_id if span.parent_id in known else ""].append(span)
    ordered: list[tuple[SpanData, int]] = []
    seen: set[int] = set()
    # Roots first; what only a cycle of parents leads to is taken as a root after them.
    for start in [*children.pop("", []), *by_start]:
        waiting = [(start, 0)]
        while waiting:
            span, depth = waiting.pop()
            if id(span) in seen:
                continue
            seen.add(id(span))
            ordered.append((span, depth))
            inner = children.pop(span.span_id, [])
            waiting += [(child, depth + 1) for child in reversed(inner)]
    return ordered


def _drawn(span: SpanData, depth: int, zero: int) -> dict[str, Any]:
    return {
        "name": clean(span.name),
        "id": span.span_id,
        "depth": depth,
        "kind": span.kind,
        "at": (span.start - zero) / 1000,
        "lasts": (span.end - span.start) / 1000 if span.end >= span.start else None,
        "status": span.status,
        "description": clean(span.description),
        "attributes": plain(span.attributes),
        "events": [_event(event, zero) for event in span.events],
    }


def _event(event: SpanEvent, zero: int) -> dict[str, Any]:
    return {
        "name": clean(event.name),
        "at": (event.time - zero) / 1000,
        "attributes": plain(event.attributes),
    }


def plain(value: Any, depth: int = 0) -> Any:
    """Return `value` as JSON that JavaScript reads without loss; what it cannot hold is text."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if -_EXACT < value < _EXACT else _digits(value)
    if isinstance(value, float):
        return value if -float("inf") < value < float("inf") else str(value)
    if depth >= MAX_DEPTH:
        return _LEFT_OUT
    if isinstance(value, dict):
        return {str(key): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, depth + 1) for item in value]
    return str(value)


def _digits(number: int) -> str:
    # str() of an integer refuses thousands of digits.
    return str(number) if number.bit_length() <= 128 else f"{number:#x}"
