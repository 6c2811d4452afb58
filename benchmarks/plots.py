"""The pictures of the document."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import aims, tables
from .arms import ARMS, LABELS, Arm
from .cpu import LAYER_COUNTS, OURS, RATES
from .data import Run
from .results import Key
from .spec import NAMES, Framework

COLORS: dict[Arm, str] = {
    "bare": "#8c8c8c",
    "stock": "#d95f02",
    "everylayer": "#1b6ca8",
    "sentry": "#b9a4d6",
    "sentry-traced": "#6a4c93",
}
_WIDTH = 3.4
# What one exception keeps alive with its frames, roughly.
_EXCEPTION_KIB = 22


def draw(run: Run, folder: Path) -> None:
    """Write the pictures for which `run` has numbers."""
    import matplotlib as mpl

    mpl.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(
        {
            "font.size": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.25,
            "legend.frameon": False,
        }
    ):
        frameworks = run.frameworks()
        if frameworks:
            _panels(frameworks, folder / "throughput.png", lambda f, a: _throughput(run, f, a))
        if any(key.case == "growth" for key in run.requests.rounds):
            _panels(frameworks, folder / "layers.png", lambda f, a: _layers(run, f, a))
        if run.latency:
            _panels(_shown(run.latency), folder / "latency.png", lambda f, a: _latency(run, f, a))
        if run.storms:
            _panels(_shown(run.storms), folder / "storm.png", lambda f, a: _storm(run, f, a))
        if run.renderer:
            _renderer(run, folder / "renderer.png")


def _shown(rows: Sequence[Mapping[str, Any]]) -> list[Framework]:
    """Return the frameworks of `rows`: a part may be measured without the others."""
    present = {row["framework"] for row in rows}
    return [framework for framework in NAMES if framework in present]


def _panels(
    frameworks: Sequence[Framework], file: Path, panel: Callable[[Framework, Any], None]
) -> None:
    """Draw one panel for each framework, and one legend below them."""
    import matplotlib.pyplot as plt

    figure, grid = plt.subplots(
        1, len(frameworks), figsize=(_WIDTH * len(frameworks), 3.5), squeeze=False
    )
    for axes, framework in zip(grid[0], frameworks, strict=True):
        axes.set_title(NAMES[framework])
        panel(framework, axes)
    handles: dict[str, Any] = {}
    for axes in grid[0]:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    columns = len(handles) if len(handles) <= 5 else 3
    figure.tight_layout(rect=(0, 0.08 if columns == len(handles) else 0.14, 1, 1))
    figure.legend(handles.values(), handles.keys(), loc="lower center", ncol=columns)
    _save(figure, file)


def _plain_numbers(axes: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator

    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(lambda value, _: "")


def _save(figure: Any, file: Path) -> None:
    import matplotlib.pyplot as plt

    # Without the time of day and the version, so that equal numbers give equal files.
    figure.savefig(file, dpi=110, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)


def _throughput(run: Run, framework: Framework, axes: Any) -> None:
    """Draw measured points and the fitted model, relative to the arm's own error-free speed."""
    steps = [n / 100 for n in range(101)]
    for arm, fit in aims.fits(run, framework).items():
        whole = fit.throughput(0)
        axes.plot(steps, [fit.throughput(e) / whole for e in steps], color=COLORS[arm], lw=1.5)
        rates = [r for r in (*RATES, 1.0) if Key(framework, arm, r) in run.requests]
        points = [
            1e6 / run.requests.cpu_us(Key(framework, arm, rate)).median / whole for rate in rates
        ]
        axes.plot(rates, points, "o", color=COLORS[arm], ms=4, label=LABELS[arm])
    axes.set_ylim(0, 1.08)
    axes.set_xlabel("share of failing requests")
    axes.set_ylabel("throughput, error-free = 1")


def _layers(run: Run, framework: Framework, axes: Any) -> None:
    for arm in OURS:
        for rate, style in ((0.0, "-"), (1.0, "--")):
            keys = [Key(framework, arm, rate, "growth", count) for count in LAYER_COUNTS]
            keys = [key for key in keys if key in run.requests]
            values = [run.requests.cpu_us(key).median for key in keys]
            label = f"{LABELS[arm]}, {'every request fails' if rate else 'no error'}"
            axes.plot(
                [k.layers for k in keys], values, f"o{style}", ms=3, color=COLORS[arm], label=label
            )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(LAYER_COUNTS, LAYER_COUNTS)
    _plain_numbers(axes)
    axes.set_xlabel("layers")
    axes.set_ylabel("µs of CPU a request")


def _latency(run: Run, framework: Framework, axes: Any) -> None:
    groups = [(0.0, 0.0), (0.0, 0.2), (5.0, 0.0), (5.0, 0.2)]
    width = 0.8 / len(ARMS)
    for number, arm in enumerate(ARMS):
        for place, (work, rate) in enumerate(groups):
            found = tables.latency_p95(run, framework, arm, rate, work)
            if found is not None:
                axes.bar(
                    place + (number - (len(ARMS) - 1) / 2) * width,
                    found.median,
                    width,
                    yerr=[[found.median - found.low], [found.high - found.median]],
                    error_kw={"lw": 0.8},
                    color=COLORS[arm],
                    label=LABELS[arm],
                )
    axes.set_yscale("log")
    _plain_numbers(axes)
    axes.set_xticks(
        range(len(groups)), [f"{'5 ms' if w else 'no work'}\n{r:.0%} errors" for w, r in groups]
    )
    axes.tick_params(axis="x", labelsize=7)
    axes.set_ylabel("p95, ms")


def _storm(run: Run, framework: Framework, axes: Any) -> None:
    highest = 5.0 * _EXCEPTION_KIB
    for row in run.storms:
        if row["framework"] == framework and not row["export_ms"]:
            step = row["sent"] / (len(row["kib"]) - 1)
            errors = [step * n for n in range(len(row["kib"]))]
            arm = row["arm"]
            axes.plot(errors, row["kib"], "o-", ms=3, color=COLORS[arm], label=LABELS[arm])
            highest = max(highest, *row["kib"])
    # Room for a few exceptions that stayed: a line that fills any picture would tell nothing.
    axes.set_ylim(0, highest * 1.1)
    axes.set_xlabel("errors")
    axes.set_ylabel("traced memory, KiB")


def _renderer(run: Run, file: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(_WIDTH * 1.6, 3.5))
    for case, style in (("warm", "-"), ("cold", "--")):
        rows = [row for row in run.renderer if row["case"] == case]
        depths = [row["frames"] for row in rows]
        for name, arm in (("stock", "stock"), ("ours", "everylayer")):
            values = [row[name] for row in rows]
            color = COLORS["stock" if arm == "stock" else "everylayer"]
            axes.plot(depths, values, f"o{style}", ms=4, color=color, label=f"{arm}, {case}")
    axes.set_yscale("log")
    axes.set_xlabel("frames")
    axes.set_ylabel("µs an exception")
    axes.legend()
    figure.tight_layout()
    _save(figure, file)
