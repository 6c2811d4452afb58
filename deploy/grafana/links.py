"""From a series to what it counts: the traces, in Grafana's Explore, and Sentry's issues."""

from __future__ import annotations

import json
from typing import Any, Literal
from urllib.parse import quote

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models.dashboard import DashboardLinkType

Traces = Literal["jaeger", "tempo"]

_SERVICE = "${__field.labels.job:percentencode}"
_LAYER = "${__field.labels.everylayer_layer_name:percentencode}"


def to_traces(traces: Traces) -> build.DashboardLink:
    """Return the link from a layer's errors to traces with an error that began in it."""
    query: dict[str, Any] = {
        "refId": "A",
        "datasource": {"type": traces, "uid": "${traces}"},
    }
    if traces == "tempo":
        query |= {
            "queryType": "traceql",
            "query": f'{{ resource.service.name = "{_SERVICE}" '
            f'&& span.everylayer.layer.name = "{_LAYER}" }}',
        }
    else:
        query |= {
            "queryType": "search",
            "service": _SERVICE,
            "tags": f'everylayer.layer.name="{_LAYER}"',
        }
    pane = {
        "datasource": "${traces}",
        "queries": [query],
        "range": {"from": "${__from}", "to": "${__to}"},
    }
    address = "/explore?schemaVersion=1&panes=" + _encoded(
        json.dumps({"errors": pane}, separators=(",", ":"))
    )
    return _link("Traces with an error of ${__field.labels.everylayer_layer_name}", address)


def to_sentry() -> build.DashboardLink:
    """Return the link to Sentry's issues of the layer; everylayer tags its events with it."""
    asked = quote('everylayer.layer:"') + _LAYER + quote('"')
    return _link(
        "Sentry issues of ${__field.labels.everylayer_layer_name}",
        f"${{sentry}}/issues/?query={asked}",
    )


def _encoded(text: str) -> str:
    """Encode all but `${...}`, which Grafana looks for before it decodes anything."""
    return quote(text, safe="${}:._")


def _link(title: str, address: str) -> build.DashboardLink:
    return build.DashboardLink(title).type(DashboardLinkType.LINK).url(address).target_blank(True)
