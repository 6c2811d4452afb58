"""The series of everylayer, as OpenTelemetry's Prometheus exporter names them."""

from __future__ import annotations

from everylayer.sinks import instruments


def exported() -> dict[str, set[str]]:
    """Return series -> labels, the scrape's job among them."""
    found = {}
    for each in instruments.ALL:
        name = each.name.replace(".", "_")
        labels = {attribute.replace(".", "_") for attribute in each.attributes} | {"job"}
        if each.kind == "Histogram":
            for part in ("bucket", "count", "sum"):
                found[f"{name}_seconds_{part}"] = labels | ({"le"} if part == "bucket" else set())
        else:
            found[f"{name}_total"] = labels
    return found
