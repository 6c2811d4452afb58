"""What a handler does besides: nothing, or 5 ms of computing."""

from __future__ import annotations

import time

WORK_MS = 5.0


def compute() -> None:
    """Use `WORK_MS` of this thread's CPU time, however busy the machine is."""
    end = time.thread_time() + WORK_MS / 1000
    while time.thread_time() < end:
        sum(range(200))
