"""Text gathered within a budget: what lies in the middle is never kept."""

from __future__ import annotations

from .. import text

# Small enough to stay cheap, large enough that ordinary errors are joined once.
_SLACK = 8


def clip(value: str, limit: int) -> tuple[str, int]:
    """Return `value` without its middle, and how many characters went.

    Both ends keep `limit` characters: the place lies where the budget cuts anyhow.
    """
    excess = len(value) - 2 * limit
    if excess <= 0:
        return value, 0
    return value[:limit] + value[-limit:], excess


class Writer:
    """Collects text in order; holds a few times the budget, however much is written."""

    __slots__ = ("_dropped", "_head", "_limit", "_parts", "_size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[str] = []
        self._size = 0
        self._head: str | None = None
        self._dropped = 0

    def write(self, part: str, dropped: int = 0) -> None:
        """Append `part`, of which `dropped` characters were left out by `clip`."""
        self._parts.append(part)
        self._size += len(part)
        self._dropped += dropped
        if self._size > _SLACK * self._limit:
            self._compact()

    def text(self) -> str:
        """Return all of it, cut in the middle as `text.cut` would cut the whole."""
        joined = "".join(self._parts)
        if self._head is None and not self._dropped:
            return text.cut(joined, self._limit)
        limit = self._limit
        if self._head is not None:
            joined = self._head + joined
        kept, excess = clip(joined, limit)
        data = kept.encode("utf-8", "backslashreplace")
        return text.ends(data, limit, self._dropped + excess)

    def _compact(self) -> None:
        joined = "".join(self._parts)
        if self._head is None:
            self._head = joined[: self._limit]
            joined = joined[self._limit :]
        tail = joined[len(joined) - self._limit :] if self._limit else ""
        self._dropped += len(joined) - len(tail)
        self._parts = [tail]
        self._size = len(tail)
