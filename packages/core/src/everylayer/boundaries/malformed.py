"""What came in and could not be read: ignored, and counted."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ..forks import ForkLock

_counts: dict[str, int] = {}
_lock = ForkLock()


def count(field: str) -> None:
    """Count one malformed value of `field`, a name of ours: never one that a peer has chosen."""
    with _lock:
        _counts[field] = _counts.get(field, 0) + 1


def malformed_input() -> Mapping[str, int]:
    """Return how often ids or baggage that came in were malformed, by the name of their field."""
    with _lock:
        return MappingProxyType(dict(_counts))
