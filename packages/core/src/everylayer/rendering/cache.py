"""A bounded mapping that threads share without a lock."""

from __future__ import annotations

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Generations(Generic[K, V]):
    """Two dicts: when the young one is full it becomes the old one, and the old one goes.

    What is in use moves from the old to the young one, so the least used entries are lost.
    Each step is one atomic operation of a dict. A lock could be held by the very thread that
    asks again, from a finalizer that raises; two threads that race here lose at most entries.
    """

    __slots__ = ("_old", "_size", "_weight", "young")

    def __init__(self, size: int) -> None:
        """Hold at most `size` entries or units of weight in each generation."""
        self._size = size
        self._weight = 0
        self.young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """Return the entry of either generation; the young one alone can be asked faster."""
        found = self.young.get(key)
        if found is None and self._old:
            found = self._old.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: K, value: V, weight: int = 1) -> None:
        """Keep `value` in place of what was there."""
        # Threads may lose each other's weights, never each other's entries.
        if self._weight >= self._size or len(self.young) >= self._size:
            self._old = self.young
            self.young = {}
            self._weight = 0
        self._weight += weight
        self.young[key] = value

    def clear(self) -> None:
        """Forget everything."""
        self.young = {}
        self._old = {}
        self._weight = 0
