"""Points in code that is there already: where a function of the app starts, or returns."""

from __future__ import annotations

import sys
from types import CodeType

from ..forks import ForkLock
from .point import Visit
from .watched import Backend, Moment, Watched

if sys.version_info >= (3, 12):
    from .monitoring import Monitoring as _Backend
else:
    from .tracing import Tracing as _Backend

# Reentrant, and by identity: codes that are equal may belong to different layers.
_lock = ForkLock()
_watched: dict[int, Watched] = {}
_armed: list[CodePoint] = []
_backend: Backend = _Backend()


class CodePoint:
    """The start or the return of some codes, whoever calls them.

    A coroutine and a generator start at their first step and return at the end of their body.
    What `visit` raises is raised in their frame: at a return, within the `try` around the
    statement if any of it is left to run there, so not after `return f(x)`. An `except` that
    catches it and returns comes to a return again. Whatever `visit` itself runs is not visited.
    Several points at one place are visited in the order in which they were armed.

    Args:
        codes: may be empty: on Python 3.10 and 3.11 that keeps threads watched, see `tracing`.
    """

    __slots__ = ("_codes", "_moment", "_visit")

    def __init__(self, codes: tuple[CodeType, ...], moment: Moment) -> None:
        self._codes = codes
        self._moment = moment
        self._visit: Visit | None = None

    def arm(self, visit: Visit) -> None:
        """See `Point.arm`; armed once more, it takes the new `visit` instead.

        Raises:
            Unavailable: if this interpreter cannot be watched now; the message says why.
        """
        with _lock:
            _backend.open(_watched)
            self._visit = visit
            if self not in _armed:
                _armed.append(self)
            self._changed()

    def disarm(self) -> None:
        """See `Point.disarm`."""
        with _lock:
            if self not in _armed:
                return
            _armed.remove(self)
            self._visit = None
            self._changed()
            if not _armed:
                _backend.close()

    def _changed(self) -> None:
        for code in self._codes:
            at_start, at_return = _waiting(code, "start"), _waiting(code, "return")
            if at_start or at_return:
                _watched[id(code)] = Watched(code, at_start, at_return)
            else:
                _watched.pop(id(code), None)
            _backend.follow(code)


def _waiting(code: CodeType, moment: Moment) -> tuple[Visit, ...]:
    return tuple(
        point._visit
        for point in _armed
        if point._visit is not None
        and point._moment == moment
        and any(other is code for other in point._codes)
    )
