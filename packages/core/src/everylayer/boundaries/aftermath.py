"""What a finalizer has found out, told outside of it.

The collector runs finalizers wherever it pleases: within an exporter that holds its lock, or in the
middle of another request. So they leave what they know here, and a short-lived thread records it.
"""

from __future__ import annotations

import _thread
import atexit
import math
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from types import FrameType
from typing import Any

from .. import chain
from ..failsafe import contained, count_failure

# So many errors may wait, each with its frames; that there were more is in `own_failures()`.
MAX_WAITING = 4096
_PATIENCE = 5.0
_NAP = 0.001

# Appending and taking are atomic and take no lock that a finalizer could find held.
_waiting: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
# Held by the one thread that tells. It is only ever tried, never waited for.
_turn = _thread.allocate_lock()
_overflown = False
# What has been registered last is called first as the process ends.
_last = False


def hand_over(act: Callable[..., object], *args: Any) -> None:
    """Have `act(*args)` called soon, in a thread of its own; safe within a finalizer."""
    global _last, _overflown
    if not _last:
        # Before the end of OpenTelemetry's provider, which there is by now.
        _last = True
        atexit.register(settle)
    if len(_waiting) < MAX_WAITING:
        _waiting.append((act, args))
    else:
        _overflown = True
    if _turn.acquire(False):
        try:
            # Not `threading.Thread`: it takes locks, and waits until it runs.
            _thread.start_new_thread(_tell, ())
        except RuntimeError:
            # No thread can begin any more, or there are too many: the next one, or the end, tells.
            _turn.release()


def tell(exc: BaseException | None, act: Callable[..., object], *args: Any) -> None:
    """Call `act(*args)`, which records `exc` or what came before it.

    Soon, rather than now, where that comes of a close.
    """
    if exc is not None and is_of_a_close(exc):
        hand_over(act, *args)
    else:
        act(*args)


def tell_from_anywhere(exc: BaseException, act: Callable[..., object], *args: Any) -> None:
    """Do the same for what an app may ask for in a finalizer, or in the text of an attribute.

    The SDK's locks are not reentrant, and it may hold any of them then.
    """
    if _in_the_way():
        hand_over(act, *args)
    else:
        tell(exc, act, *args)


def _in_the_way() -> bool:
    """Tell whether the SDK, or a finalizer, waits for this thread to return."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_name == "__del__" or _is_of_the_sdk(frame):
            return True
        frame = frame.f_back
    return False


def _is_of_the_sdk(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).startswith("opentelemetry.sdk.")


def is_of_a_close(exc: BaseException) -> bool:
    """Tell whether a generator or a coroutine is being closed: the collector does that as well."""
    return any(issubclass(type(each), GeneratorExit) for each in (exc, *chain.ancestors(exc)))


def settle(seconds: float = _PATIENCE) -> bool:
    """Return whether all that was handed over has been told, after at most `seconds`.

    The last one that is told may take longer: an exporter may wait for its back end.
    """
    deadline = time.monotonic() + seconds
    while _waiting or _turn.locked():
        if time.monotonic() > deadline:
            return False
        if _waiting and _turn.acquire(False):
            _tell(deadline)
        else:
            time.sleep(_NAP)
    return True


def _tell(until: float = math.inf) -> None:
    """Call what waits, as long as the clock is not past `until`; the turn is given back."""
    turn = _turn  # a fork in here has another one
    while True:
        try:
            _tell_all(until)
        finally:
            turn.release()
        # What came after the last look found the turn taken.
        if time.monotonic() > until or not (_waiting and turn.acquire(False)):
            return


def _tell_all(until: float) -> None:
    global _overflown
    if _overflown:
        _overflown = False
        count_failure(__name__, with_stack=False)
    while _waiting and time.monotonic() <= until:
        # Popped within the call, so that none is held while the next one is waited for.
        _call(*_waiting.popleft())


@contained
def _call(act: Callable[..., object], args: tuple[Any, ...]) -> None:
    act(*args)


def _in_child() -> None:
    global _last, _turn
    # It may make a provider of its own.
    _last = False
    # What waits is the parent's to tell, and so is the thread that was about to.
    _waiting.clear()
    _turn = _thread.allocate_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
