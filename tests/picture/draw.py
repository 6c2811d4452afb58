"""The picture: cards on the dashboard's own grid, light, with what each panel's JSON asks for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from .board import Panel, Series, Span
from .charts import alerts_of, bars, lines, number
from .palette import FAINT, FRAME, INK, PAGE, RED

_COLUMN, _ROW = 0.54, 0.275  # inches
_COLUMNS = 24
_MARGIN, _HEAD, _GAP = 0.18, 0.72, 0.045
_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "text.color": INK,
    "axes.edgecolor": FRAME,
    "axes.labelcolor": FAINT,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "grid.color": "#ececf0",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "text.parse_math": False,
}


class Card:
    """Where one panel is, in inches from the upper left corner of the picture."""

    __slots__ = ("_figure", "_high", "_wide", "height", "left", "top", "width")

    def __init__(self, figure: Figure, place: dict[str, int]) -> None:
        self._figure = figure
        self._wide, self._high = figure.get_size_inches()
        self.left = _MARGIN + place["x"] * _COLUMN + _GAP
        self.top = _HEAD + place["y"] * _ROW + _GAP
        self.width = place["w"] * _COLUMN - 2 * _GAP
        self.height = place["h"] * _ROW - 2 * _GAP

    def axes(self, left: float, top: float, right: float, bottom: float) -> Any:
        """Return axes that leave so many inches free on each side."""
        width = (self.width - left - right) / self._wide
        height = (self.height - top - bottom) / self._high
        low = 1 - (self.top + self.height - bottom) / self._high
        return self._figure.add_axes(((self.left + left) / self._wide, low, width, height))

    def write(self, right: float, down: float, text: str, **how: Any) -> None:
        """Write `text` so many inches from the upper left corner."""
        x, y = (self.left + right) / self._wide, 1 - (self.top + down) / self._high
        self._figure.text(x, y, text, **{"va": "center", **how})

    def frame(self) -> None:
        """Draw the card itself."""
        corner = (self.left / self._wide, 1 - (self.top + self.height) / self._high)
        self._figure.add_artist(
            FancyBboxPatch(
                corner,
                self.width / self._wide,
                self.height / self._high,
                boxstyle="round,pad=0,rounding_size=0.003",
                mutation_aspect=self._wide / self._high,
                facecolor="white",
                edgecolor=FRAME,
                linewidth=0.8,
                transform=self._figure.transFigure,
                zorder=-1,
            )
        )


def draw(
    panels: Sequence[Panel], firing: Sequence[Series], shown: Span, lost: Span, target: Path
) -> None:
    """Write the picture of `panels` to `target`.

    Args:
        panels: as they were asked.
        firing: the alerts, each with the times at which it fired.
        shown: the time that is drawn.
        lost: when traces were lost on purpose.
        target: a PNG.
    """
    rows = max(p.made["gridPos"]["y"] + p.made["gridPos"]["h"] for p in panels)
    size = (2 * _MARGIN + _COLUMNS * _COLUMN, _HEAD + rows * _ROW + _MARGIN)
    with mpl.rc_context(_STYLE):
        figure = plt.figure(figsize=size, facecolor=PAGE)
        _head(figure, firing, shown, lost)
        marks = alerts_of(firing)
        for panel in panels:
            card = Card(figure, panel.made["gridPos"])
            if panel.made["type"] == "row":
                card.write(0.05, card.height / 2, panel.made["title"], weight="bold", size=9.5)
                continue
            card.frame()
            card.write(0.12, 0.17, panel.made["title"], weight="bold", size=8)
            if panel.made["type"] == "stat":
                number(card, panel)
            elif panel.made["type"] == "bargauge":
                bars(card, panel)
            else:
                lines(card, panel, shown, marks)
        figure.savefig(target, dpi=130, facecolor=PAGE)
        plt.close(figure)


def _head(figure: Figure, firing: Sequence[Series], shown: Span, lost: Span) -> None:
    card = Card(figure, {"x": 0, "y": 0, "w": _COLUMNS, "h": 1})
    card.top = 0.1
    card.write(0.05, 0.18, "everylayer: error traces", weight="bold", size=14)
    card.write(
        0.05,
        0.44,
        f"{_clock(shown.start)} to {_clock(shown.end)} UTC. At {_clock(lost.start)} flask-shop was "
        f"made deaf to its callers' traceparent, for {lost.end - lost.start:.0f} seconds.",
        color=FAINT,
        size=8,
    )
    right = {"ha": "right", "color": FAINT, "size": 8}
    card.write(
        card.width,
        0.18,
        "By matplotlib, from the dashboard's own queries of a real Prometheus",
        **right,
    )
    if firing:
        names = ", ".join(sorted({series.name for series in firing}))
        card.write(
            card.width, 0.44, f"shaded, darker where both fire: {names}", **{**right, "color": RED}
        )


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, timezone.utc).strftime("%H:%M:%S")
