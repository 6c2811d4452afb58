"""How much throughput errors cost: one over a time that is linear in the share of errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Fit(NamedTuple):
    """throughput(e) = 1 / (t_ok * (1 - e) + t_err * e), by least squares of the relative errors.

    Attributes:
        t_ok: microseconds of a request that works.
        t_err: of one that fails.
        worst: largest relative distance of a measured time from the line.
    """

    t_ok: float
    t_err: float
    worst: float

    def throughput(self, rate: float) -> float:
        """Return requests a CPU second at this share of errors."""
        return 1e6 / (self.t_ok * (1 - rate) + self.t_err * rate)

    def lost(self, rate: float) -> float:
        """Return the share of the error-free throughput that is lost."""
        return 1 - self.throughput(rate) / self.throughput(0)


def fit(times: Mapping[float, float]) -> Fit:
    """Return the line through `times`, microseconds a request by share of errors.

    Each point counts by its relative error: otherwise the one at 100 % would decide alone.

    Raises:
        ValueError: fewer than two different shares.
    """
    if len(times) < 2:
        raise ValueError(f"a line needs two shares of errors; there is {sorted(times)}")
    # Normal equations of sum(((a * (1 - e) + b * e) / t - 1) ** 2).
    aa = sum(((1 - e) / t) ** 2 for e, t in times.items())
    bb = sum((e / t) ** 2 for e, t in times.items())
    ab = sum((1 - e) * e / t**2 for e, t in times.items())
    a1 = sum((1 - e) / t for e, t in times.items())
    b1 = sum(e / t for e, t in times.items())
    determinant = aa * bb - ab * ab
    t_ok = (a1 * bb - b1 * ab) / determinant
    t_err = (b1 * aa - a1 * ab) / determinant
    worst = max(abs((t_ok * (1 - e) + t_err * e) / t - 1) for e, t in times.items())
    return Fit(t_ok, t_err, worst)
