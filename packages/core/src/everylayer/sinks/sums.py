"""A counter that keeps its own sums, and tells them when somebody reads the metrics.

A measurement of the SDK is dear beside the record of an error, a step of a dictionary is not. What
it lacks are exemplars.
"""

from __future__ import annotations

from collections.abc import Iterable

from opentelemetry.metrics import CallbackOptions, Observation

from ..forks import ForkLock

_lock = ForkLock()


class Sums:
    """Sums by the values of its attributes; whoever adds keeps those bounded.

    Args:
        attributes: their names, in the order in which `add` takes the values.
    """

    __slots__ = ("_attributes", "_sums")

    def __init__(self, attributes: tuple[str, ...]) -> None:
        self._attributes = attributes
        self._sums: dict[tuple[str, ...], int] = {}

    def add(self, amount: int, *values: str) -> None:
        """Add `amount`; 0 makes a series begin."""
        with _lock:
            self._sums[values] = self._sums.get(values, 0) + amount

    def begin_anew(self) -> None:
        """Forget all, in a forked child: nothing of it was counted there."""
        self._sums = {}

    def __call__(self, _: CallbackOptions) -> Iterable[Observation]:
        """Return the sums, as an observable counter's callback does."""
        with _lock:
            found = list(self._sums.items())
        names = self._attributes
        return [Observation(n, dict(zip(names, values, strict=True))) for values, n in found]
