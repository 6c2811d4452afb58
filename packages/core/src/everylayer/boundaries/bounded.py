"""Values that come from outside, as attributes of metrics: no more of them than agreed."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from ..forks import ForkLock

OTHER = "other"

_logger = logging.getLogger("everylayer")
_lock = ForkLock()


class BoundedValues:
    """Lets the first `limit` different values through, and folds all further ones into one.

    Each value makes a time series for good, so it is first come, first served; `known` ones have
    their places from the start, whoever comes first.

    Args:
        limit: how many different values pass.
        known: values that count before any is seen; those beyond `limit` do not.
        name: what the values are, for the one line in the log when the limit is met.
        other: what stands for the rest.
    """

    __slots__ = ("_limit", "_name", "_other", "_said", "_seen")

    def __init__(
        self, limit: int, known: Iterable[str] = (), *, name: str = "values", other: str = OTHER
    ) -> None:
        self._limit = limit
        self._name = name
        self._other = other
        self._said = False
        self._seen: dict[str, str] = {}
        for value in known:
            if len(self._seen) < limit:
                self._seen[value] = value

    def __call__(self, value: str) -> str:
        """Return `value`, or what stands for the rest."""
        return self._seen.get(value) or self._meet(value)

    def __len__(self) -> int:
        return len(self._seen)

    def _meet(self, value: str) -> str:
        with _lock:
            if len(self._seen) < self._limit:
                return self._seen.setdefault(value, value)
            said, self._said = self._said, True
        if not said:
            _logger.warning(
                "everylayer has met %d different %s; metrics count all others as %r",
                self._limit,
                self._name,
                self._other,
            )
        return self._other
