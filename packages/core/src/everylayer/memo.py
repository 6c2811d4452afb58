"""What was found out about an object, kept by its address: a hash may be dear, or not be had."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from .rendering.cache import Generations

V = TypeVar("V")


class Memo(Generic[V]):
    """Values by object; bounded, and keeps no object alive.

    Attributes:
        entries: address -> weak reference, value. The reference tells whether the address is
            still that object's. Where a call would be dear, ask `entries.young.get(id(target))`
            and compare `found[0]() is target`: a miss may be one of the old generation's.
    """

    __slots__ = ("entries",)

    def __init__(self, size: int) -> None:
        """Hold at most twice `size` values."""
        self.entries: Generations[int, tuple[Callable[[], Any], V]] = Generations(size)

    def get(self, target: object) -> V | None:
        """Return what was kept for this very object."""
        entry = self.entries.get(id(target))
        return entry[1] if entry is not None and entry[0]() is target else None

    def keep(self, target: object, value: V) -> V:
        """Keep `value` and return it; an object that takes no weak reference is not kept."""
        try:
            guard = weakref.ref(target)
        except TypeError:
            return value
        self.entries.put(id(target), (guard, value))
        return value

    def clear(self) -> None:
        """Forget all values."""
        self.entries.clear()
