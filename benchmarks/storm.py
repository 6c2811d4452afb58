"""Errors without a pause: what stays in memory, what outlives its request, what is dropped."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Sequence
from typing import Any, Protocol

from .apps import canary
from .arms import Telemetry

PATH = "/storm"
WARM = 300


class _Client(Protocol):
    def run(self, paths: Sequence[str]) -> int: ...


def run(
    client: _Client, telemetry: Telemetry, requests: int, steps: int, *, traced: bool = True
) -> dict[str, Any]:
    """Send `requests` that all fail, and look at memory `steps` times on the way.

    Args:
        client: sends them.
        telemetry: where their spans arrive.
        requests: how many.
        steps: the exporter catches up after each.
        traced: count memory, which takes ten times as long as the requests.

    Returns:
        `kib`: memory traced after the warm-up and after each step; `alive`: canaries that are
        still there at the end; `sent`, `spans` and `events`; `seconds` of the clock.
    """
    client.run([PATH] * WARM)
    if traced:
        tracemalloc.start()
        # What was there before does not count, so let it be replaced once.
        client.run([PATH] * WARM)
    telemetry.taken()
    kib = [_traced_kib()] if traced else []
    taken = {"spans": 0, "events": 0}
    seconds = 0.0
    for _ in range(steps):
        begin = time.perf_counter()
        client.run([PATH] * (requests // steps))
        seconds += time.perf_counter() - begin
        for key, value in telemetry.taken().items():
            taken[key] += value
        if traced:
            kib.append(_traced_kib())
    tracemalloc.stop()
    gc.collect()
    sent = requests // steps * steps
    return {"kib": kib, "alive": canary.living(), "sent": sent, "seconds": seconds, **taken}


def _traced_kib() -> float:
    gc.collect()
    return tracemalloc.get_traced_memory()[0] / 1024
