"""How the panels look: one function for each kind, and what they have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from grafana_foundation_sdk.builders import bargauge, common, prometheus, stat, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    BigValueColorMode,
    BigValueGraphMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    ScaleDistribution,
    StackingMode,
    TooltipDisplayMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DynamicConfigValue,
    FieldColorModeId,
    MatcherConfig,
    Threshold,
    ThresholdsMode,
)

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
Kind = stat.Panel | timeseries.Panel | bargauge.Panel
GREEN, YELLOW, ORANGE, RED = "green", "yellow", "orange", "red"


class Query(NamedTuple):
    """What a panel asks, and how its series are called."""

    expr: str
    legend: str = "__auto"
    exemplar: bool = False


class Step(NamedTuple):
    """From `value` on (None: from the start) a value is of this colour."""

    value: float | None
    color: str


def number(
    title: str,
    about: str,
    query: Query,
    unit: str,
    steps: Sequence[Step],
    decimals: int | None = None,
) -> stat.Panel:
    """Return one large number, of the whole time that is shown."""
    panel = (
        stat.Panel()
        .title(title)
        .description(about)
        .datasource(SOURCE)
        .with_target(_target(query, 0).instant())
        .unit(unit)
        .thresholds(_thresholds(steps))
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .no_value("no error")
    )
    return panel if decimals is None else panel.decimals(decimals)


def lines(
    title: str,
    about: str,
    queries: Sequence[Query],
    unit: str,
    *,
    steps: Sequence[Step] = (),
    stacked: bool = False,
    scale: ScaleDistribution = ScaleDistribution.LINEAR,
    bounds: tuple[float | None, float | None] = (0, None),
    no_value: str = "none",
    colors: dict[str, str] | None = None,
) -> timeseries.Panel:
    """Return series over time.

    Args:
        title: above the panel.
        about: what an operator asks with it.
        queries: what it shows.
        unit: Grafana's id of the unit.
        steps: lines to be above or below of.
        stacked: the series add up.
        scale: LOG for values that differ by orders of magnitude, SYMLOG with 0 among them.
        bounds: of the axis.
        no_value: what is said where there is no series.
        colors: of series, by name.
    """
    panel = (
        timeseries.Panel()
        .title(title)
        .description(about)
        .datasource(SOURCE)
        .targets([_target(query, index) for index, query in enumerate(queries)])
        .unit(unit)
        .no_value(no_value)
        .line_width(2)
        .fill_opacity(30 if stacked else 8)
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
        .overrides([_colored(name, color) for name, color in (colors or {}).items()])
    )
    low, high = bounds
    if low is not None:
        panel = panel.axis_soft_min(low)
    if high is not None:
        panel = panel.max(high)
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    if scale is not ScaleDistribution.LINEAR:
        made = common.ScaleDistributionConfig().type(scale).log(10)
        panel = panel.scale_distribution(
            made.linear_threshold(1) if scale is ScaleDistribution.SYMLOG else made
        )
    if steps:
        style = common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED)
        panel = panel.thresholds(_thresholds(steps)).thresholds_style(style)
    return panel


def bars(
    title: str, about: str, query: Query, unit: str, links: Sequence[build.DashboardLink]
) -> bargauge.Panel:
    """Return one bar a series, of the whole time that is shown; a click leads further."""
    return (
        bargauge.Panel()
        .title(title)
        .description(about)
        .datasource(SOURCE)
        .with_target(_target(query, 0).instant())
        .unit(unit)
        .decimals(0)
        .min(0)
        .no_value("no error")
        .orientation(VizOrientation.HORIZONTAL)
        .display_mode(BarGaugeDisplayMode.BASIC)
        .color_scheme(build.FieldColor().mode(FieldColorModeId.FIXED).fixed_color("blue"))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .data_links([*links])
    )


def _target(query: Query, index: int) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery()
        .ref_id(chr(ord("A") + index))
        .datasource(SOURCE)
        .expr(query.expr)
        .legend_format(query.legend)
        .exemplar(query.exemplar)
        .range()
    )


def _thresholds(steps: Sequence[Step]) -> build.ThresholdsConfig:
    made = [Threshold(value=step.value, color=step.color) for step in steps]
    return build.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(made)


def _colored(name: str, color: str) -> build.DashboardFieldConfigSourceOverrides:
    value = {"mode": "fixed", "fixedColor": color}
    return (
        build.DashboardFieldConfigSourceOverrides()
        .matcher(MatcherConfig(id_val="byName", options=name))
        .properties([DynamicConfigValue(id_val="color", value=value)])
    )
