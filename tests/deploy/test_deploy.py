"""What can be said of deploy/ without running it: its files fit their schemas and each other."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from everylayer.sinks import attributes

DEPLOY = Path(__file__).parents[2] / "deploy"
TIERS = ("gateway", "sampler")
# Of distributions/otelcol-contrib/manifest.yaml 0.136 of opentelemetry-collector-releases, by the
# name that each component's README gives it: those that suit, and the keys that it knows.
KNOWN: dict[str, dict[str, set[str]]] = {
    "receivers": {"otlp": {"protocols"}},
    "processors": {
        "memory_limiter": {"check_interval", "limit_percentage", "spike_limit_percentage"},
        "tail_sampling": {
            "decision_wait",
            "num_traces",
            "expected_new_traces_per_sec",
            "decision_cache",
            "policies",
        },
        "batch": {"send_batch_size", "send_batch_max_size", "timeout"},
    },
    "exporters": {
        "loadbalancing": {"routing_key", "protocol", "resolver"},
        "otlp": {"endpoint", "tls", "sending_queue", "retry_on_failure", "timeout"},
        "prometheus": {"endpoint", "enable_open_metrics"},
    },
    "connectors": {
        "spanmetrics": {
            "namespace",
            "histogram",
            "dimensions",
            "exemplars",
            "dimensions_cache_size",
            "metrics_flush_interval",
            "metrics_expiration",
        },
        "forward": set(),
    },
    "extensions": {"health_check": {"endpoint"}},
}
POLICIES = {"ottl_condition", "status_code", "latency", "probabilistic"}
VARIABLE = re.compile(r"\$\{env:([A-Z_]+):-([^}]*)\}")


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


COMPOSE: dict[str, Any] = loaded(DEPLOY / "compose.yaml")
COLLECTORS: dict[str, dict[str, Any]] = {
    tier: loaded(DEPLOY / "collector" / f"{tier}.yaml") for tier in TIERS
}


def kind_of(name: str) -> str:
    return name.partition("/")[0]


@pytest.mark.parametrize("tier", TIERS)
def test_each_component_is_known_defined_and_used(tier: str) -> None:
    made = COLLECTORS[tier]
    assert set(made) <= {*KNOWN, "service"}
    for section, known in KNOWN.items():
        for name, options in made.get(section, {}).items():
            assert set(options) <= known[kind_of(name)], f"{section} {name}"
    used: dict[str, set[str]] = {"receivers": set(), "processors": set(), "exporters": set()}
    for pipeline in made["service"]["pipelines"].values():
        for section in used:
            used[section] |= set(pipeline.get(section, ()))
    connectors = set(made.get("connectors", ()))
    assert used["receivers"] == {*made["receivers"], *connectors}
    assert used["exporters"] == {*made["exporters"], *connectors}
    assert used["processors"] == set(made["processors"])
    assert made["service"]["extensions"] == list(made["extensions"])


@pytest.mark.parametrize("tier", TIERS)
def test_what_comes_in_meets_the_memory_limit_first(tier: str) -> None:
    for pipeline in COLLECTORS[tier]["service"]["pipelines"].values():
        if "otlp" in pipeline["receivers"]:
            assert pipeline["processors"][0] == "memory_limiter"


def test_the_first_tier_keeps_traces_together_on_the_second() -> None:
    exporter = COLLECTORS["gateway"]["exporters"]["loadbalancing"]
    assert exporter["routing_key"] == "traceID"
    resolver = exporter["resolver"]["dns"]
    name = VARIABLE.fullmatch(resolver["hostname"])
    assert name is not None
    given = COMPOSE["services"]["gateway"]["environment"][name[1]]
    assert given in COMPOSE["services"], "docker's DNS knows services by name"
    receiver = COMPOSE["services"][given]["environment"]["OTLP_GRPC_ENDPOINT"]
    assert int(receiver.rpartition(":")[2]) == resolver["port"]
    assert "container_name" not in COMPOSE["services"][given], "several must be able to run"


def test_each_trace_with_an_error_of_everylayer_is_kept() -> None:
    policies = COLLECTORS["sampler"]["processors"]["tail_sampling"]["policies"]
    assert {policy["type"] for policy in policies} <= POLICIES
    for policy in policies:
        assert set(policy) == {"name", "type", policy["type"]}
    (ours,) = (policy for policy in policies if policy["type"] == "ottl_condition")
    conditions = ours["ottl_condition"]
    names = {
        scope: {
            re.fullmatch(r'attributes\["([^"]+)"\] != nil', text)[1] for text in conditions[scope]
        }  # type: ignore[index]
        for scope in ("span", "spanevent")
    }
    assert names == {
        "span": {attributes.LAYER_NAME, attributes.DROPPED},
        "spanevent": {attributes.HANDLED},
    }


def test_metrics_count_spans_before_any_is_left_out() -> None:
    pipelines = COLLECTORS["sampler"]["service"]["pipelines"]
    (before,) = (p for p in pipelines.values() if "spanmetrics" in p["exporters"])
    assert "tail_sampling" not in before["processors"]
    dimensions = COLLECTORS["sampler"]["connectors"]["spanmetrics"]["dimensions"]
    assert {attributes.LAYER_NAME, attributes.ERROR_TYPE} <= {d["name"] for d in dimensions}


def test_compose_fits_the_schema_of_compose() -> None:
    schema = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.validate(COMPOSE, json.loads(schema.read_text(encoding="utf-8")))


def test_compose_opens_the_loopback_alone_and_pins_its_images() -> None:
    for name, service in COMPOSE["services"].items():
        assert re.fullmatch(r"[a-z/-]+:v?\d+\.\d+\.\d+", service["image"]), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            if source.startswith("./") and source != "./prometheus":
                assert (DEPLOY / source).is_file(), source
            elif not source.startswith("./"):
                assert source in COMPOSE["volumes"]
        assert set(service.get("depends_on", ())) <= set(COMPOSE["services"])


@pytest.mark.parametrize("tier", TIERS)
def test_a_collector_by_itself_listens_on_the_loopback(tier: str) -> None:
    text = (DEPLOY / "collector" / f"{tier}.yaml").read_text(encoding="utf-8")
    found = dict(VARIABLE.findall(text))
    given = COMPOSE["services"][tier]["environment"]
    for variable, default in found.items():
        assert variable in given, "else the container listens to itself alone"
        assert default.startswith("127.0.0.1") or variable == "SAMPLER_HOSTNAME"
    assert len(set(found)) == text.count("${env:")


def test_prometheus_takes_its_configuration(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not there: Debian's package prometheus brings it")
    text = (DEPLOY / "collector" / "prometheus.yml").read_text(encoding="utf-8")
    config = tmp_path / "prometheus.yml"
    config.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [promtool, "check", "config", "--syntax-only", str(config)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    names = {
        name
        for job in loaded(config)["scrape_configs"]
        for sd in job.get("dns_sd_configs", ())
        for name in sd["names"]
    }
    assert names <= set(COMPOSE["services"])
