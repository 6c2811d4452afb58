"""The one place that may swallow a failure of our own: logged once, counted always."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import ParamSpec, TypeVar

from .forks import ForkLock

P = ParamSpec("P")
R = TypeVar("R")

_logger = logging.getLogger("everylayer")
_counts: dict[str, int] = {}
# Reentrant, as the ledger's: a finalizer may fail while it is held.
_lock = ForkLock()


def contained(func: Callable[P, R]) -> Callable[P, R | None]:
    """Wrap `func` so that a bug in it cannot reach the app.

    `Exception` only: a `KeyboardInterrupt` that arrives while we work is the app's.
    """
    place = f"{func.__module__}.{func.__qualname__}"

    @functools.wraps(func)
    def call(*args: P.args, **kwargs: P.kwargs) -> R | None:
        try:
            return func(*args, **kwargs)
        except Exception:
            count_failure(place)
            return None

    return call


_LOST = "the error it was recording may be missing from the trace"


def count_failure(place: str, *, with_stack: bool = True, lost: str = _LOST) -> None:
    """Count a failure of ours at `place`; log the first one with its stack.

    Call it from the `except` block that swallows the failure.

    Args:
        place: what failed.
        with_stack: False where the stack and its chain may quote what must not be quoted.
        lost: what comes of it, for the log.
    """
    with _lock:
        seen = _counts.get(place, 0)
        _counts[place] = seen + 1
    # What a finalizer fails in as the interpreter goes is nobody's concern: all is sent by then.
    if seen or sys.is_finalizing():
        return
    try:
        _logger.warning(
            "everylayer failed in %s; the app is not affected, %s (logged once for this place)",
            place,
            lost,
            exc_info=with_stack,
        )
    except Exception:
        # A logging handler of the app that raises (logging.raiseExceptions, a bad __str__).
        return


def own_failures() -> Mapping[str, int]:
    """Return how often everylayer failed since the process began, by the function that did."""
    with _lock:
        return MappingProxyType(dict(_counts))
