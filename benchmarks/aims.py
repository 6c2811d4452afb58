"""What was aimed at, and what can be had at all."""

from __future__ import annotations

from typing import NamedTuple

from . import attenuation
from .arms import Arm
from .cpu import RATES
from .data import Run
from .results import Key
from .spec import Framework

HAPPY = 1.01
FAILING = 0.15
PATHS = 0.25
LOST = 0.12
RENDERER = 100.0
# A leak of one exception a request would be 22 KiB; this is a hundredth of a thousandth of it.
FLAT_BYTES = 8.0


class Verdict(NamedTuple):
    """A number and whether it is what was aimed at."""

    text: str
    met: bool

    def __str__(self) -> str:
        return self.text if self.met else f"{self.text} **missed**"


def happy(run: Run, framework: Framework) -> Verdict:
    """Return CPU of a request that works, to stock's."""
    key = Key(framework, "everylayer")
    ratio = run.requests.ratio(key, key.of("stock"))
    return Verdict(f"{ratio.median:.3f}", ratio.median <= HAPPY)


def failing(run: Run, framework: Framework, case: str = "deep", aim: float = FAILING) -> Verdict:
    """Return CPU of a request that fails, to stock's."""
    key = Key(framework, "everylayer", 1.0, case)
    ratio = run.requests.ratio(key, key.of("stock"))
    return Verdict(f"{ratio.median:.3f}", ratio.median <= aim)


def floor(run: Run, framework: Framework, case: str = "deep") -> float:
    """Return what `failing` would be if recording an error cost nothing at all.

    Stock's request without an error, and what the error costs the bare app, are paid whoever
    records it.
    """
    bare = Key(framework, "bare", 1.0, case)
    of = run.requests.cpu_us
    paid = of(Key(framework, "stock")).median + of(bare).median - of(Key(framework, "bare")).median
    return paid / of(bare.of("stock")).median


def recording(run: Run, framework: Framework, case: str = "deep") -> dict[Arm, float]:
    """Return microseconds that recording one error takes, beyond what the error costs the app."""
    of = run.requests.cpu_us

    def extra(arm: Arm) -> float:
        return of(Key(framework, arm, 1.0, case)).median - of(Key(framework, arm)).median

    return {arm: extra(arm) - extra("bare") for arm in ("stock", "everylayer")}


def fits(run: Run, framework: Framework) -> dict[Arm, attenuation.Fit]:
    """Return the attenuation model of each arm."""
    found: dict[Arm, attenuation.Fit] = {}
    for key in run.requests.rounds:
        if key == Key(framework, key.arm):
            rates = [rate for rate in (*RATES, 1.0) if key.at(rate) in run.requests]
            times = {rate: run.requests.cpu_us(key.at(rate)).median for rate in rates}
            found[key.arm] = attenuation.fit(times)
    return found


def lost(run: Run, framework: Framework, arm: Arm) -> float:
    """Return the share of throughput lost from 0 to 20 % errors, as measured."""
    of = run.requests.cpu_us
    return 1 - of(Key(framework, arm)).median / of(Key(framework, arm, 0.2)).median


def growth_of_memory(kib: list[float]) -> float:
    """Return bytes a step in the second half, after all warm-up: a line through the points."""
    half = kib[len(kib) // 2 :]
    if len(half) < 2:
        return 0.0
    middle = (len(half) - 1) / 2
    mean = sum(half) / len(half)
    above = sum((n - middle) * (value - mean) for n, value in enumerate(half))
    return above / sum((n - middle) ** 2 for n in range(len(half))) * 1024
