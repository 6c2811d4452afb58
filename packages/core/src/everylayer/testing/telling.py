"""The words of a failed assertion: what was asked for, what is there, and the traces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ..audit.model import SpanData
from ..text import one_line
from .recorded import Asked, Recorded, recorded_in

_NEAREST = 3
# Lines of traces; a test that made more has other troubles.
_LARGEST = 60
_WIDE = 160


def not_recorded(
    asked: Asked, count: int | None, spans: Sequence[SpanData], hints: Iterable[str]
) -> str:
    """Return why an assertion for `asked` has failed."""
    errors = recorded_in(spans)
    met = sum(map(asked.meets, errors))
    wanted = "at least once" if count is None else _times(count)
    lines = [f"{asked} was to be recorded {wanted}, and is {_there(met)}"]
    lines += ["", *_nearest(asked, errors)]
    lines += ["", *tree(spans), *hints]
    return "\n".join(lines)


def recorded(spans: Sequence[SpanData], hints: Iterable[str]) -> str:
    """Return why an assertion for no error has failed."""
    errors = recorded_in(spans)
    what = f"{len(errors)} error{'s' * (len(errors) != 1)}"
    return "\n".join(
        [f"no error was to be recorded, and there is {what}", "", *tree(spans), *hints]
    )


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _there(met: int) -> str:
    return f"there {_times(met)}" if met else "not there"


def _nearest(asked: Asked, errors: Sequence[Recorded]) -> Iterator[str]:
    if not errors:
        yield "no exception event is on any span"
        return
    near = sorted(errors, key=asked.distance)
    more = f", of {len(near)}" if len(near) > _NEAREST else ""
    yield f"nearest first{more} (- asked for, + there):"
    for each in near[:_NEAREST]:
        yield f"  {_short(each)}, on {each.span.name} ({each.span.kind}, {each.span.status})"
        for name, wanted, there, meets in asked.rows(each):
            if meets:
                yield f"      {name:8} {one_line(there, _WIDE)}"
            else:
                yield f"    - {name:8} {wanted}"
                yield f"    + {name:8} {one_line(there, _WIDE)}"


def _short(each: Recorded) -> str:
    message = one_line(each.message, _WIDE // 2)
    return f"{each.type}: {message}" if message else each.type


def tree(spans: Sequence[SpanData]) -> list[str]:
    """Return the traces of `spans`, with their errors, as lines."""
    if not spans:
        return ["no span has ended"]
    here = {span.span_id for span in spans}
    lines: list[str] = []
    for root in sorted(spans, key=lambda span: span.start):
        if root.parent_id not in here:
            lines += [f"trace {root.trace_id}", *_grow(root, spans, "  ", "  ")]
    if len(lines) > _LARGEST:
        lines[_LARGEST:] = [f"... {len(lines) - _LARGEST} more lines"]
    return lines


def _grow(span: SpanData, spans: Sequence[SpanData], first: str, rest: str) -> Iterator[str]:
    description = f"  {one_line(span.description, _WIDE // 2)}" if span.description else ""
    yield f"{first}{span.name}  {span.kind}  {span.status}{description}"
    errors = [f"! {_short(each)}{_by(each)}" for each in recorded_in([span])]
    inner = sorted(
        (each for each in spans if each.parent_id == span.span_id), key=lambda each: each.start
    )
    for index, text in enumerate(errors):
        last = index + 1 == len(errors) + len(inner)
        yield f"{rest}{'└── ' if last else '├── '}{text}"
    for each in inner:
        last = each is inner[-1]
        more = rest + ("    " if last else "│   ")
        yield from _grow(each, spans, rest + ("└── " if last else "├── "), more)


def _by(each: Recorded) -> str:
    said = [each.layer] if each.layer else []
    if each.handled:
        said.append("handled")
    return f"  [{', '.join(said)}]" if said else ""
