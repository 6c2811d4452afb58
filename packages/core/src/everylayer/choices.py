"""Settings that are one of a few words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from .presets import Preset

ClientErrors = Literal["layers", "all", "none"]
Swallowed = Literal["off", "monitor"]
Sentry = Literal["off", "link", "capture"]
Detached = Literal["off", "record"]
ErrorContext = Literal["off", "trusted", "send"]
Tenant = Literal["off", "header", "resolver"]

CHOICES: Mapping[str, Any] = {
    "client_errors": ClientErrors,
    "detached": Detached,
    "error_context": ErrorContext,
    "preset": Preset,
    "sentry": Sentry,
    "swallowed": Swallowed,
    "tenant": Tenant,
}
