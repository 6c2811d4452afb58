"""An app that was imported once, and opened in a process of its own for each group of trials."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path

_DONE = b"."


def can_fork() -> bool:
    """Tell whether all that the import left behind is there in a fork too.

    Threads are not, and a connection would be shared.
    """
    if sys.platform == "darwin" or not hasattr(os, "fork"):
        return False  # What Apple's own libraries have begun may not go on in a fork.
    return threading.active_count() == 1 and _native_threads() == 1 and not _has_sockets()


def in_fork(step: Callable[[], None]) -> None:
    """Do `step` in a fork, and wait for its end; if the fork is lost, so is this process."""
    told, tell = os.pipe()
    _flush()
    pid = os.fork()
    if pid == 0:
        os.close(told)
        step()
        _flush()
        os.write(tell, _DONE)
        # Nothing that the app has registered for its end runs once for each fork.
        os._exit(0)
    os.close(tell)
    _, status = os.waitpid(pid, 0)
    os.set_blocking(told, False)
    try:
        done = os.read(told, 1) == _DONE
    except BlockingIOError:  # Somebody whom the app has left behind holds the other end.
        done = False
    os.close(told)
    if not done:
        _end_like(status)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # The app may have put something else there.
            stream.flush()


def _end_like(status: int) -> None:
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        with contextlib.suppress(OSError):  # SIGKILL has no handler to take away.
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(max(code, 0))


def _native_threads() -> int:
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return 1


def _has_sockets() -> bool:
    for each in Path("/dev/fd").iterdir():
        try:
            if stat.S_ISSOCK(os.fstat(int(each.name)).st_mode):
                return True
        except (OSError, ValueError):
            continue
    return False
