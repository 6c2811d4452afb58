"""The parts of a traceback in their order: headings, margins, boxes of groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .final import final_lines
from .frames import FrameCache
from .stack import stack_lines
from .tree import MAX_DEPTH, MAX_WIDTH, Node
from .writer import Writer

if TYPE_CHECKING:
    from ..redaction.guard import Redacting

_HEADING = "Traceback (most recent call last):\n"
_GROUP_HEADING = "Exception Group Traceback (most recent call last):\n"
# Lines written at once: the writer's memory stays near the budget.
_CHUNK = 256


class Layout:
    """Writes one tree; `_depth` is how many groups enclose what is written."""

    __slots__ = ("_depth", "_frames", "_limit", "_open", "_out", "_redacting")

    def __init__(
        self, frames: FrameCache, max_bytes: int, redacting: Redacting | None = None
    ) -> None:
        self._frames = frames
        self._redacting = redacting
        self._limit = max_bytes
        self._out = Writer(max_bytes)
        self._depth = 0
        # The box of the innermost group still lacks its lower edge.
        self._open = False

    def render(self, root: Node) -> str:
        """Return the text of the whole tree within the budget."""
        self._chain(root)
        return self._out.text()

    def _chain(self, last: Node) -> None:
        links = [last]
        while (earlier := links[-1].earlier) is not None:
            links.append(earlier)
        for node in reversed(links):
            if node.earlier is not None:
                self._emit(node.joint)
            if node.members is None:
                self._own(node, _HEADING)
            elif self._depth > MAX_DEPTH:
                self._emit(f"... (max_group_depth is {MAX_DEPTH})\n")
            else:
                self._group(node, node.members)

    def _group(self, node: Node, members: list[Node]) -> None:
        outermost = self._depth == 0
        if outermost:
            self._depth = 1
        self._own(node, _GROUP_HEADING, "+" if outermost else "|")
        boxes = min(node.width, MAX_WIDTH + 1)
        self._open = False
        for index in range(boxes):
            is_last = index == boxes - 1
            if is_last:
                self._open = True
            hidden = index >= MAX_WIDTH
            edge = "+-" if index == 0 else "  "
            title = "..." if hidden else index + 1
            indent = "  " * self._depth
            self._out.write(f"{indent}{edge}+---------------- {title} ----------------\n")
            self._depth += 1
            if hidden:
                rest = node.width - MAX_WIDTH
                self._emit(f"and {rest} more exception{'s' if rest > 1 else ''}\n")
            else:
                self._chain(members[index])
            # A group that was last inside may have drawn the edge for both.
            if is_last and self._open:
                self._out.write(f"{'  ' * self._depth}+------------------------------------\n")
                self._open = False
            self._depth -= 1
        if outermost:
            self._depth = 0

    def _own(self, node: Node, heading: str, margin: str = "|") -> None:
        """Write what belongs to the exception itself."""
        lines = stack_lines(node.tb, self._frames, self._limit)
        redacting = self._redacting
        if redacting is not None and redacting.exact:
            lines = redacting.lines(lines)
        final, dropped = final_lines(node.exc, node.tb, self._limit, redacting)
        if not self._depth and len(lines) <= _CHUNK:
            # Nearly always.
            self._out.write("".join([heading, *lines, final]) if lines else final, dropped)
            return
        if lines:
            self._emit(heading, margin)
            for start in range(0, len(lines), _CHUNK):
                self._emit("".join(lines[start : start + _CHUNK]))
        self._emit(final, dropped=dropped)

    def _emit(self, part: str, margin: str = "|", dropped: int = 0) -> None:
        if self._depth:
            # As `textwrap.indent` with blank lines too: before each line, whatever ends it.
            indent = f"{'  ' * self._depth}{margin} "
            part = indent.join(["", *part.splitlines(True)])
        self._out.write(part, dropped)
