"""A place in an app where a fault can be put."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Visit = Callable[[], None]


class Point(Protocol):
    """A place that runs can be stopped at. Disarmed, it costs nothing."""

    def arm(self, visit: Visit) -> None:
        """Have `visit` called there each time, in the thread and context of what runs there.

        What it raises is raised there.
        """

    def disarm(self) -> None:
        """Leave no trace; harmless where nothing is armed."""


class Switch:
    """A point that is code of its own: whoever stands there calls `reached`."""

    __slots__ = ("_visit",)

    def __init__(self) -> None:
        self._visit: Visit | None = None

    def arm(self, visit: Visit) -> None:
        self._visit = visit

    def disarm(self) -> None:
        self._visit = None

    @property
    def armed(self) -> bool:
        """Whether somebody waits here."""
        return self._visit is not None

    def reached(self) -> None:
        """Call whoever waits; raises what that raises."""
        if self._visit is not None:
            self._visit()
