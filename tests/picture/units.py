"""Values as Grafana writes them, for the units that the dashboard uses."""

from __future__ import annotations

_SUFFIX = {"cps": " c/s", "reqps": " req/s", "short": ""}


def text(value: float, unit: str, decimals: int | None = None) -> str:
    """Return `value` with its unit."""
    if unit == "percentunit":
        return f"{_plain(100 * value, decimals)} %"
    if unit == "s":
        for size, name in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
            if abs(value) >= size:
                return f"{_plain(value / size, decimals)} {name}"
        return "0 s"
    suffix = _SUFFIX[unit] if unit in _SUFFIX else unit.removeprefix("suffix:")
    return f"{_plain(value, decimals)}{suffix}"


def _plain(value: float, decimals: int | None) -> str:
    if decimals is not None:
        return f"{value:,.{decimals}f}"
    return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
