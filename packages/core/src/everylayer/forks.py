"""A lock that a forked child does not find held by a thread that it has not got."""

from __future__ import annotations

import os
import threading
from types import TracebackType


class ForkLock:
    """A reentrant lock, new in each forked child; made once a module, for good."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._renew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        try:
            self._lock.release()
        except RuntimeError:
            # In a child that this very thread has forked with the lock held: it has a new one.
            return
