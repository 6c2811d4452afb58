"""Futures that have failed: to read the exception of one is to ask for it.

A future is the standard library's until its call fails. Whoever is about to give it the error puts
it into a class of these first. Who waits for it, waits in the standard library's methods, which
read the error once it is there.
"""

from __future__ import annotations

import functools
import sys
from concurrent.futures import Future
from typing import Any

# Where a future that has failed keeps what its kind knows of it.
KEPT = "_everylayer"


class Listening(Future[Any]):
    """A future that has failed; what becomes of it when it is asked is for a kind to say."""

    def _asked(self, error: BaseException, reader: str) -> None:
        """Take note that somebody asks for `error`, in the method that `reader` names.

        Whoever asks may hold the future's lock.
        """

    def _read(self) -> BaseException | None:
        error: BaseException | None = self.__dict__["_exception"]
        try:
            if error is not None:
                reader = sys._getframe(1).f_code.co_name
                if reader != "__repr__":
                    self._asked(error, reader)
            return error
        finally:
            # As the standard library does: no cycle through this frame.
            del error, self

    def _write(self, error: BaseException | None) -> None:
        self.__dict__["_exception"] = error

    _exception = property(_read, _write)


@functools.lru_cache(maxsize=64)
def listening(kind: type[Listening], cls: Any) -> Any:
    """Return the class of those of `cls` that have failed, which looks like it."""
    bases = (kind,) if cls is Future else (kind, cls)
    names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
    return type(cls.__name__, bases, names)


def can_listen() -> bool:
    """Tell whether this Python's futures are laid out so that one can listen."""
    future: Any = Future()
    cls: Any = type(future)
    try:
        future.__class__ = listening(Listening, cls)
        return "_exception" in future.__dict__
    except (AttributeError, TypeError):
        return False
