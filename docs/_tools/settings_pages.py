"""Write docs/settings.md from the settings in the code.

    python docs/_tools/settings_pages.py            # after a change of a setting

With the packages installed; a test holds the page to what this would write.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, get_args

from everylayer import settings
from everylayer.choices import CHOICES
from everylayer.presets import PRESETS

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "settings.md"

# Setting -> the page, below docs/, that tells the rest.
MORE = {
    "chaos": "chaos.md",
    "detached": "boundaries.md",
    "error_context": "services.md",
    "error_context_header": "services.md",
    "local_variables": "redaction.md#local-variables",
    "max_batch_bytes": "backends.md#a-storm",
    "max_tenants": "metrics.md",
    "metrics": "metrics.md",
    "preset": "backends.md",
    "redaction": "redaction.md",
    "sentry": "sentry.md",
    "sentry_url": "sentry.md",
    "snapshot_token": "snapshot.md",
    "swallowed": "monitor.md",
    "tenant": "tenant.md",
    "tenant_baggage": "tenant.md",
    "tenant_header": "tenant.md",
    "tenant_map": "tenant.md",
    "tenant_resolver": "tenant.md",
    "tenant_shards": "tenant.md",
    "trace_url": "sentry.md",
    "trusted_peers": "services.md",
    "baggage_keys": "services.md",
}

# Variables that are no settings: who starts the process, or OpenTelemetry, says these.
VARIABLES = {
    "EVERYLAYER_CHAOS_ENVIRONMENT": (
        "`staging`, `test`, `development`",
        "where [faults](reference/chaos.md) may be put; no code can say it instead",
    ),
    "OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN": (
        "`logs`, `logs/dup`",
        "send errors as log events in place of span events, or as both",
    ),
    "OTEL_SERVICE_NAME": (
        "text",
        "how a [failing response](services.md) names this service where no resource does",
    ),
    "OTEL_RESOURCE_ATTRIBUTES": (
        "list of `key=value`",
        "a `deployment.environment.name` of production keeps [faults](reference/chaos.md) out",
    ),
    "OTEL_PROPAGATORS": (
        "`everylayer`, `everylayer-ot`, `everylayer-grpc-bin`",
        "everylayer's [propagators](reference/services.md), among others",
    ),
    "OTEL_PYTHON_ID_GENERATOR": (
        "`everylayer`",
        "span ids that tell the [shard of the tenant](tenant.md)",
    ),
}

_KINDS = {bool: "`true`, `false`", int: "whole number", str: "text", tuple: "list"}

INTRODUCTION = """# Settings

Each setting can be given in three ways; the first one that is given counts:

1. to the app: `app.add_middleware(EveryLayerMiddleware, max_events=4)`,
   `EveryLayer(app, max_events=4)`, `EVERYLAYER = {"max_events": 4}` in Django's settings;
2. to the process, in code: `everylayer.configure(max_events=4)`, before the app is built;
3. to the process, by a variable: `EVERYLAYER_MAX_EVENTS=4`.

An unknown name or a wrong value stops the app at its start with an error that names the setting,
the value and the remedy. In a variable a list is separated by commas, `1`, `yes` and `on` are as
good as `true`, `0`, `no` and `off` as `false`, and an empty variable is as good as none.
"""


def page() -> str:
    """Return the whole of docs/settings.md."""
    rows = ["| setting, variable | values | default | meaning |", "|---|---|---|---|"]
    for field in dataclasses.fields(settings.Settings):
        name = field.name
        more = f" ([more]({MORE[name]}))" if name in MORE else ""
        rows.append(
            f'| <a id="{name}"></a>`{name}`<br>`{settings.ENV_PREFIX}{name.upper()}` '
            f"| {_values(field)} | {_default(field.default)} | {_meaning(field)}{more} |"
        )
    others = ["| variable | values | meaning |", "|---|---|---|"]
    others += [f"| `{name}` | {values} | {text} |" for name, (values, text) in VARIABLES.items()]
    note = "<!-- Written by docs/_tools/settings_pages.py from the settings in the code. -->"
    parts = [
        INTRODUCTION,
        "\n".join(rows),
        "## Presets\n\nWhat `preset` changes; a budget that is given as well wins. Bytes.",
        _presets(),
        "## Variables that are no settings",
        "\n".join(others),
        note,
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _presets() -> str:
    names = sorted({name for budgets in PRESETS.values() for name in budgets})
    defaults = {field.name: field.default for field in dataclasses.fields(settings.Settings)}
    head = " | ".join(f"`{name}`" for name in names)
    rows = [f"| preset | {head} |", "|---|" + "--:|" * len(names)]
    for preset, budgets in PRESETS.items():
        cells = " | ".join(str(budgets.get(name, defaults[name])) for name in names)
        rows.append(f"| `{preset}` | {cells} |")
    return "\n".join(rows)


def _meaning(field: dataclasses.Field[Any]) -> str:
    return str(field.metadata["help"])


def _values(field: dataclasses.Field[Any]) -> str:
    if field.name in CHOICES:
        return ", ".join(f"`{word}`" for word in get_args(CHOICES[field.name]))
    kind = _KINDS[type(field.default)]
    unit = field.name.rpartition("_")[2]
    if unit in ("bytes", "chars"):
        kind = "bytes" if unit == "bytes" else "characters"
    least = settings.LEAST.get(field.name)
    return kind if least is None else f"{kind}, at least {least}"


def _default(value: object) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int):
        return str(value)
    return f"`{value}`" if value else ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
