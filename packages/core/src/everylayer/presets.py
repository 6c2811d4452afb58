"""Byte budgets that suit a back end; the sources stand in docs/backends.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Preset = Literal["default", "tempo", "datadog", "honeycomb", "sentry", "jaeger"]

PRESETS: Mapping[str, Mapping[str, int]] = {
    "default": {},
    # Keeps the first 2,048 bytes of an attribute and drops the rest.
    "tempo": {"max_message_bytes": 2048, "max_stack_bytes": 2048},
    # Its agent writes all events of a span as JSON into one value of 25,000 bytes at most: a fifth
    # is left to what JSON escapes.
    "datadog": {"max_span_bytes": 20_000},
    # A field holds 65,535 bytes, and each event of a span is an event of its own.
    "honeycomb": {"max_message_bytes": 8192, "max_stack_bytes": 32_768},
    # A message holds 8,192 characters, an event 200 kB as it is sent.
    "sentry": {"max_message_bytes": 8192},
    # Reads a whole trace as one gRPC message of 4 MiB: so 128 spans may be as bad as can be.
    "jaeger": {"max_span_bytes": 32_768},
}


def budgets(name: Any) -> Mapping[str, int]:
    """Return the settings of preset `name`, none where there is no such preset."""
    return PRESETS.get(name, {}) if isinstance(name, str) else {}
