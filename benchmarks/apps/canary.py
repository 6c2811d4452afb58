"""Objects that die with a request, its frames and its exception: what a leak would keep."""

from __future__ import annotations

import weakref
from collections import Counter

_living: weakref.WeakSet[Canary] = weakref.WeakSet()


class Canary:
    """Lives as long as what it was put into: a frame's locals, a request, an exception."""

    __slots__ = ("__weakref__", "where")

    def __init__(self, where: str) -> None:
        self.where = where
        _living.add(self)


class CanaryError(Exception):
    """Carries a canary."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.canary = Canary("exception")


def living() -> dict[str, int]:
    """Return how many are alive, by what they were put into."""
    return dict(Counter(canary.where for canary in _living))


def fail() -> None:
    """Raise an exception with one canary in it and one in its frame."""
    canary = Canary("frame")
    raise CanaryError(f"a storm of {canary.where}s")
