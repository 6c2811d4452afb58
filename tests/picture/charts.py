"""One panel inside its card: a number, bars, or series over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import matplotlib.dates as mdates
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from . import units
from .board import Panel, Series, Span
from .palette import CLASSIC, FAINT, INK, LINES, RED, TEXTS

if TYPE_CHECKING:
    from .draw import Card

_DAY = 86_400
_NAMES = 0.6  # the part of a card that the names of bars take


def number(card: Card, panel: Panel) -> None:
    """Write the one number, in the colour of its threshold."""
    made = panel.made["fieldConfig"]["defaults"]
    if not panel.series:
        card.write(0.12, 0.62, made["noValue"], size=20, color=FAINT)
        return
    value = panel.series[0].points[-1][1]
    shown = units.text(value, made["unit"], made.get("decimals"))
    card.write(0.12, 0.64, shown, size=23, weight="bold", color=_step(value, made["thresholds"]))


def _step(value: float, thresholds: Mapping[str, Any]) -> str:
    reached = [s["color"] for s in thresholds["steps"] if s["value"] is None or value >= s["value"]]
    return TEXTS[reached[-1]]


def bars(card: Card, panel: Panel) -> None:
    """Draw one bar a series, the longest on top, its name before it."""
    made = panel.made["fieldConfig"]["defaults"]
    found = sorted(panel.series, key=lambda series: series.points[-1][1])
    values = [series.points[-1][1] for series in found]
    axes = card.axes(card.width * _NAMES, 0.36, 0.55, 0.14)
    axes.barh(range(len(found)), values, height=0.62, color=LINES[made["color"]["fixedColor"]])
    axes.set_ylim(-0.6, len(found) - 0.4)
    axes.set_yticks(range(len(found)), [series.name for series in found], color=INK)
    axes.tick_params(length=0)
    axes.set_xticks([])
    axes.grid(False)
    axes.spines[:].set_visible(False)
    for place, value in enumerate(values):
        text = units.text(value, made["unit"], made.get("decimals"))
        axes.annotate(text, (value, place), xytext=(4, 0), textcoords="offset points", va="center")


def lines(card: Card, panel: Panel, shown: Span, marks: Sequence[Span]) -> None:
    """Draw series over time, or say that there is none."""
    made = panel.made["fieldConfig"]["defaults"]
    custom = made["custom"]
    axes = card.axes(0.66, 0.38, 0.24, 0.56)
    _time(axes, shown)
    for mark in marks:
        axes.axvspan(mark.start / _DAY, mark.end / _DAY, color=RED, alpha=0.06, lw=0)
        axes.axvline(mark.start / _DAY, color=RED, alpha=0.5, lw=0.8, ls=(0, (2, 2)))
    if not panel.series:
        axes.set_yticks([])
        axes.text(
            0.5, 0.5, made["noValue"], transform=axes.transAxes, ha="center", color=FAINT, size=13
        )
        return
    named = _colors(panel)
    stacked = custom.get("stacking", {}).get("mode") == "normal"
    if stacked:
        _stack(axes, panel.series, named, custom)
    else:
        for series in panel.series:
            times, values = _points(series)
            axes.plot(times, values, lw=1.4, color=named[series.name], label=series.name)
    if custom.get("thresholdsStyle", {}).get("mode") == "dashed":
        for step in made["thresholds"]["steps"]:
            if step["value"] is not None:
                axes.axhline(step["value"], color=LINES[step["color"]], lw=1, ls=(0, (4, 3)))
    _scale(axes, made, custom)
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(-0.46 / (card.width - 0.9), -0.26 / (card.height - 0.94) - 0.01),
        ncols=4,
        borderaxespad=0,
        handlelength=1.1,
        handletextpad=0.5,
        columnspacing=1.1,
    )


def _colors(panel: Panel) -> dict[str, str]:
    asked = {
        override["matcher"]["options"]: LINES[override["properties"][0]["value"]["fixedColor"]]
        for override in panel.made["fieldConfig"]["overrides"]
    }
    free = iter(CLASSIC)
    return {s.name: asked.get(s.name) or next(free) for s in panel.series}


def _stack(
    axes: Any, found: Sequence[Series], named: Mapping[str, str], custom: Mapping[str, Any]
) -> None:
    times = sorted({at for series in found for at, _ in series.points})
    below = [0.0] * len(times)
    for series in found:
        here = dict(series.points)
        above = [low + here.get(at, 0.0) for low, at in zip(below, times, strict=True)]
        days = [at / _DAY for at in times]
        color = named[series.name]
        axes.fill_between(days, below, above, color=color, alpha=custom["fillOpacity"] / 100, lw=0)
        axes.plot(days, above, color=color, lw=1.3, label=series.name)
        below = above


def _points(series: Series) -> tuple[list[float], list[float]]:
    return [at / _DAY for at, _ in series.points], [value for _, value in series.points]


def _time(axes: Any, shown: Span) -> None:
    axes.set_xlim(shown.start / _DAY, shown.end / _DAY)
    axes.xaxis.set_major_locator(mdates.AutoDateLocator(minticks=3, maxticks=6))
    axes.xaxis.set_major_formatter(mdates.DateFormatter("%H:%M"))
    axes.tick_params(length=0, pad=3)


def _scale(axes: Any, made: Mapping[str, Any], custom: Mapping[str, Any]) -> None:
    scale = custom.get("scaleDistribution", {"type": "linear"})
    if scale["type"] == "log":
        axes.set_yscale("log", base=scale["log"])
    elif scale["type"] == "symlog":
        axes.set_yscale("symlog", base=scale["log"], linthresh=scale["linearThreshold"])
        axes.yaxis.set_major_locator(FixedLocator([0, 1, 10, 100]))
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: units.text(v, made["unit"])))
    low, high = axes.get_ylim()
    low = min(low, custom.get("axisSoftMin", low))
    if custom.get("axisSoftMin") == 0:
        low = 0
    if scale["type"] == "symlog":
        # So that the highest threshold is seen.
        high = max(high, 30)
    axes.set_ylim(low, made["max"] + 0.04 * (made["max"] - low) if "max" in made else high)


def alerts_of(firing: Sequence[Series]) -> list[Span]:
    """Return when each of the alerts was firing; two at once are shaded twice."""
    return [span for series in firing for span in _runs([at for at, _ in series.points])]


def _runs(times: Sequence[float]) -> list[Span]:
    every = min((b - a for a, b in pairwise(times)), default=1.0)
    found: list[Span] = []
    for at in times:
        if found and at - found[-1].end <= 2 * every:
            found[-1] = Span(found[-1].start, at)
        else:
            found.append(Span(at, at))
    return found
