"""Codes that are waited at: what waits, and at which of their instructions."""

from __future__ import annotations

import dis
from collections.abc import Mapping
from types import CodeType
from typing import Literal, Protocol

from .point import Visit

Moment = Literal["start", "return"]

# Instructions that nothing can fail in: a fault at a return is put before them, so that it is
# still within the `try` that surrounds the statement. An END_SEND ends an `await`.
_PURE = ("LOAD_FAST", "LOAD_CONST", "LOAD_SMALL_INT", "LOAD_DEREF", "POP_BLOCK", "END_SEND")


class Unavailable(RuntimeError):
    """No fault can be put here now; the message says what to do."""


class Watched:
    """A code and what waits there; replaced as a whole, so that readers need no lock.

    Attributes:
        early, late: offsets of instructions, in bytes, at which it is about to return: before
            the value of a `return` is loaded, and the others, which return.
    """

    __slots__ = ("at_return", "at_start", "code", "early", "late")

    def __init__(
        self, code: CodeType, at_start: tuple[Visit, ...], at_return: tuple[Visit, ...]
    ) -> None:
        self.code = code
        self.at_start = at_start
        self.at_return = at_return
        self.early, self.late = return_offsets(code) if at_return else (frozenset(), frozenset())


class Backend(Protocol):
    """How an interpreter lets running code be stopped at."""

    def open(self, watched: Mapping[int, Watched]) -> None:
        """Begin to look into `watched`, by identity of code; called again for each point.

        Raises:
            Unavailable: if it cannot.
        """

    def follow(self, code: CodeType) -> None:
        """Take note that what waits at `code` has changed."""

    def close(self) -> None:
        """Leave no trace."""


def return_offsets(code: CodeType) -> tuple[frozenset[int], frozenset[int]]:
    """Return the offsets, in bytes, at which `code` is about to return: see `Watched`."""
    lines = _Lines(code)
    instructions = list(dis.get_instructions(code))
    early: set[int] = set()
    late: set[int] = set()
    for place, instruction in enumerate(instructions):
        if not instruction.opname.startswith("RETURN_") or "GENERATOR" in instruction.opname:
            continue
        line = lines.at(instruction.offset)
        first = place
        while (
            first > 0
            and not instructions[first].is_jump_target
            and instructions[first - 1].opname.startswith(_PURE)
            and lines.at(instructions[first - 1].offset) == line
            and (first < 2 or instructions[first - 2].opname != "EXTENDED_ARG")
        ):
            first -= 1
        # On 3.10 the `try` ends with a POP_BLOCK of the line: what comes to it has left by then,
        # as newer ones have it; but not what comes from an `await`.
        if instructions[first - 1].opname != "YIELD_FROM":
            while instructions[first].opname == "POP_BLOCK":
                first += 1
        (early if first < place else late).add(instructions[first].offset)
    return frozenset(early), frozenset(late)


class _Lines:
    """The line of each instruction of a code."""

    __slots__ = ("_ranges",)

    def __init__(self, code: CodeType) -> None:
        self._ranges = list(code.co_lines())

    def at(self, offset: int) -> int | None:
        return next((line for start, end, line in self._ranges if start <= offset < end), None)
