"""The dashboard's JSON: in step with its code, sound in itself, and asking for what there is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

from everylayer.layers import Layer
from everylayer.sinks import attributes, integrity, metrics
from everylayer.sinks.sentry import events
from prometheus_names import exported

DEPLOY = Path(__file__).parents[2] / "deploy"
FILE = DEPLOY / "grafana" / "everylayer.json"
BOARD: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
PANELS: list[dict[str, Any]] = BOARD["panels"]
VARIABLES = {each["name"]: each for each in BOARD["templating"]["list"]}
# Ids of packages/grafana-data/src/valueFormats/categories.ts, those in use.
UNITS = {"percentunit", "s", "cps", "reqps", "short"}
ROWS = 24
# What Grafana and Prometheus bring themselves.
BROUGHT = {"ALERTS": {"alertname", "alertstate", "job"}}


def targets() -> Iterator[tuple[str, dict[str, Any]]]:
    for panel in PANELS:
        for target in panel.get("targets", ()):
            yield panel["title"], target


EXPRESSIONS = [
    *((title, target["expr"]) for title, target in targets()),
    *((each["name"], each["expr"]) for each in BOARD["annotations"]["list"]),
]


def recorded() -> dict[str, set[str]]:
    """Return recording rule -> labels, of those that panels may ask."""
    rules = yaml.safe_load((DEPLOY / "prometheus" / "everylayer.rules.yml").read_text("utf-8"))
    names = (rule.get("record", "") for group in rules["groups"] for rule in group["rules"])
    ours = ("everylayer:error", "everylayer:completeness")
    return {name: {"job"} for name in names if name.startswith(ours)}


SERIES = {**exported(), **recorded(), **BROUGHT}


@pytest.mark.skipif(sys.version_info < (3, 11), reason="grafana-foundation-sdk wants Python 3.11")
def test_the_file_is_what_the_code_writes(tmp_path: Path) -> None:
    pytest.importorskip("grafana_foundation_sdk")
    code = DEPLOY / "grafana" / "dashboard.py"
    made = tmp_path / "made.json"
    subprocess.run([sys.executable, str(code), "--output", str(made)], check=True, timeout=60)
    said = "run: python deploy/grafana/dashboard.py"
    assert made.read_text(encoding="utf-8") == FILE.read_text(encoding="utf-8"), said
    subprocess.run(
        [sys.executable, str(code), "--traces", "tempo", "--output", str(made)],
        check=True,
        timeout=60,
    )
    tempo = json.loads(made.read_text(encoding="utf-8"))
    (query,) = explored(tempo)["queries"]
    assert query["datasource"]["type"] == "tempo"
    assert f'span.{attributes.LAYER_NAME} = "' in query["query"]


def test_each_panel_has_an_id_a_place_and_a_title_of_its_own() -> None:
    for of in (lambda p: p["id"], lambda p: p["title"]):
        assert len({of(panel) for panel in PANELS}) == len(PANELS)
    assert all(panel["id"] > 0 for panel in PANELS)
    for panel in PANELS:
        place = panel["gridPos"]
        assert place["x"] >= 0
        assert place["w"] > 0
        assert place["h"] > 0
        assert place["x"] + place["w"] <= ROWS, panel["title"]
    for one, other in combinations(PANELS, 2):
        assert not overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])
    area = sum(p["gridPos"]["w"] * p["gridPos"]["h"] for p in PANELS)
    assert area == ROWS * max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in PANELS), "no gaps"


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )


def test_each_panel_asks_the_chosen_source_in_a_known_unit() -> None:
    source = {"type": "prometheus", "uid": "${datasource}"}
    for panel in PANELS:
        if panel["type"] == "row":
            continue
        assert panel["datasource"] == source, panel["title"]
        assert panel["description"]
        refs = [target["refId"] for target in panel["targets"]]
        assert refs == [chr(ord("A") + index) for index in range(len(refs))], panel["title"]
        assert all(target["datasource"] == source for target in panel["targets"])
        unit = panel["fieldConfig"]["defaults"]["unit"]
        assert unit in UNITS or unit.startswith("suffix:"), unit
    assert VARIABLES["datasource"]["query"] == "prometheus"
    assert VARIABLES["traces"]["query"] == "jaeger"
    assert BOARD["schemaVersion"] >= 36
    assert "id" not in BOARD, "Grafana gives it one"


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS)
def test_what_a_panel_asks_for_is_there(title: str, expression: str) -> None:
    names = re.findall(r"(?<![\w:\"=~.$])([a-zA-Z_:][\w:]*)(?=[{\[])", expression)
    assert names, title
    for name in names:
        assert name in SERIES, f"{title}: nothing writes {name}"
    labels = set(re.findall(r"(\w+)(?:=~|!=|!~|=)\"", expression))
    for by in re.findall(r"by \(([^)]*)\)", expression):
        labels |= {label.strip() for label in by.split(",")}
    assert labels <= set.union(*(SERIES[name] for name in names)), title
    assert set(re.findall(r"\$(\w+)", expression)) <= {"job", "__rate_interval", "__range"}


@pytest.mark.parametrize(("title", "target"), list(targets()))
def test_a_legend_names_what_the_query_keeps(title: str, target: dict[str, Any]) -> None:
    kept = {
        label.strip()
        for by in re.findall(r"by \(([^)]*)\)", target["expr"])
        for label in by.split(",")
    } or {"job"}
    assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= kept, title


def test_a_colour_is_for_a_series_that_there_may_be() -> None:
    values = {
        "everylayer_outcome": {metrics.ESCAPED, metrics.HANDLED},
        "everylayer_trace_state": set(integrity.STATES) - {integrity.WHOLE},
        "everylayer_placement": {
            metrics.ON_SPAN,
            metrics.ON_LATE_SPAN,
            metrics.NO_SPAN,
            metrics.NOT_SAMPLED,
            metrics.SPAN_ENDED,
            metrics.SINK_FAILED,
        },
    }
    coloured = 0
    for panel in PANELS:
        for override in panel.get("fieldConfig", {}).get("overrides", ()):
            assert override["matcher"]["id"] == "byName"
            legends = {target["legendFormat"] for target in panel["targets"]}
            possible = set(legends)
            for legend in legends:
                possible |= values.get(legend.strip("{}"), set())
            assert override["matcher"]["options"] in possible, panel["title"]
            coloured += 1
    assert coloured == sum(map(len, values.values())) + len(("median", "95 %", "99 %"))


def test_prometheus_reads_each_query(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not there: Debian's package prometheus brings it")
    rules = [
        {"record": f"panel:{index}", "expr": filled(expression)}
        for index, (_, expression) in enumerate(EXPRESSIONS)
    ]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(
        [promtool, "check", "rules", str(file)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert f"{len(rules)} rules found" in done.stdout


def filled(expression: str) -> str:
    values = {"$__rate_interval": "5m", "$__range": "3h", "$job": ".*"}
    for name, value in values.items():
        expression = expression.replace(name, value)
    return expression


def test_an_error_leads_to_its_traces_and_to_sentry() -> None:
    with_links = [p for p in PANELS if p.get("fieldConfig", {}).get("defaults", {}).get("links")]
    (panel,) = with_links
    kept = set(re.findall(r"by \(([^)]*)\)", panel["targets"][0]["expr"])[0].split(", "))
    _, sentry = (link["url"] for link in panel["fieldConfig"]["defaults"]["links"])
    for link in panel["fieldConfig"]["defaults"]["links"]:
        used = set(re.findall(r"\$\{__field\.labels\.(\w+)", link["url"] + link["title"]))
        assert used <= kept
        assert "everylayer_layer_name" in used
    (query,) = explored(BOARD)["queries"]
    assert query["datasource"] == {"type": "jaeger", "uid": "${traces}"}
    assert query["service"] == "${__field.labels.job:percentencode}"
    assert query["tags"].startswith(f'{attributes.LAYER_NAME}="')
    event: dict[str, Any] = {}
    events.fill(event, None, Layer("Auth", "middleware"), "")
    (tag,) = (name for name, value in event["tags"].items() if value == "Auth")
    assert unquote(sentry).startswith(f'${{sentry}}/issues/?query={tag}:"')
    assert VARIABLES["sentry"]["query"].startswith("https://")


def explored(board: dict[str, Any]) -> Any:
    """Return what the link to traces opens in Explore."""
    (panel,) = (p for p in board["panels"] if p["type"] == "bargauge")
    url = panel["fieldConfig"]["defaults"]["links"][0]["url"]
    return json.loads(unquote(url.partition("panes=")[2]))["errors"]


def test_grafana_is_given_the_dashboard_and_its_sources() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    mounted = dict(volume.split(":")[:2] for volume in compose["services"]["grafana"]["volumes"])
    inside = mounted["./grafana/everylayer.json"]
    provider = yaml.safe_load((DEPLOY / "grafana" / "dashboards.yaml").read_text(encoding="utf-8"))
    assert provider["providers"][0]["options"]["path"] == str(Path(inside).parent)
    assert mounted["./grafana/dashboards.yaml"].startswith("/etc/grafana/provisioning/dashboards/")
    home = compose["services"]["grafana"]["environment"]
    assert inside in home.values()
    sources = yaml.safe_load(
        (DEPLOY / "collector" / "datasources.yaml").read_text(encoding="utf-8")
    )["datasources"]
    assert {"prometheus", "jaeger"} <= {source["type"] for source in sources}
    (metrics_source,) = (s for s in sources if s["type"] == "prometheus")
    (exemplar,) = metrics_source["jsonData"]["exemplarTraceIdDestinations"]
    assert exemplar["datasourceUid"] in {s["uid"] for s in sources if s["type"] == "jaeger"}


def test_each_alert_leads_to_the_dashboard() -> None:
    rules = yaml.safe_load((DEPLOY / "prometheus" / "everylayer.rules.yml").read_text("utf-8"))
    alerts = [rule for group in rules["groups"] for rule in group["rules"] if "alert" in rule]
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    (port,) = compose["services"]["grafana"]["ports"]
    for alert in alerts:
        host = port.rpartition(":")[0]
        assert alert["annotations"]["dashboard_url"].startswith(f"http://{host}/d/{BOARD['uid']}")
        assert alert["annotations"]["runbook_url"].startswith("docs/runbook.md#")
