"""Whether the app answered as it does without telemetry: pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .model import Answer

# What follows from the body, so that nothing can be said of it where the body is never the same.
_OF_THE_BODY = frozenset({"content-length", "content-md5", "etag", "digest", "repr-digest"})


def changes(
    bare: tuple[Answer, Answer], answer: Answer, stock: Answer | None = None
) -> Iterator[str]:
    """Yield what is otherwise in `answer`, one clause each.

    Args:
        bare: two answers of the app without any telemetry: what differs between them is volatile.
        answer: the one to look at.
        stock: that with OpenTelemetry alone; what is already otherwise there is left out.
    """

    def others(read: Any) -> bool:
        """Tell whether a part of the answer is neither volatile nor as it should be."""
        first, second, now = read(bare[0]), read(bare[1]), read(answer)
        if first != second or now == first:
            return False
        return stock is None or read(stock) == first

    if others(lambda given: given.said):
        yield f"the status is {_status(answer)}, not {_status(bare[0])}"
    if others(lambda given: given.escaped):
        left, instead = answer.escaped or "nothing", bare[0].escaped or "nothing"
        yield f"{left} left the app, not {instead}"
    body_is_volatile = bare[0].body != bare[1].body
    if others(lambda given: given.body):
        yield "the body is another one"
        body_is_volatile = True
    names = {name.lower() for given in (*bare, answer) for name, _ in given.headers}
    for name in sorted(names):
        if body_is_volatile and name in _OF_THE_BODY:
            continue
        if others(lambda given, name=name: _values(given, name)):
            yield f"the header {name} is another one"
    # In any order: one breach may show earlier than another.
    known = {hazard for given in (*bare, *([stock] if stock else [])) for hazard in given.hazards}
    yield from (hazard for hazard in answer.hazards if hazard not in known)


def _values(answer: Answer, name: str) -> list[str]:
    return [value for each, value in answer.headers if each.lower() == name]


def _status(answer: Answer) -> str:
    return answer.said or "missing"
