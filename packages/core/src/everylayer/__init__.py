"""Every error of every middleware layer on the active span, exactly once."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .failsafe import own_failures
from .layers import Layer
from .observer import record
from .settings import Settings, SettingsError, configure

if TYPE_CHECKING:
    from .boundaries.bounded import BoundedValues
    from .boundaries.ids import TenantIdGenerator
    from .boundaries.propagator import Propagator
    from .boundaries.tenant import tenant, tenant_label, use_tenant
    from .boundaries.tenant_source import TenantRequest
    from .boundaries.tenant_spans import TenantSpanProcessor
    from .redaction import Redaction, Sensitive, reveal, sensitive
    from .running.snapshot import Snapshot, snapshot

__version__ = "0.1.0"

# Loaded by whoever uses them.
_LAZY = {
    "BoundedValues": ".boundaries.bounded",
    "Propagator": ".boundaries.propagator",
    "Redaction": ".redaction",
    "Sensitive": ".redaction",
    "Snapshot": ".running.snapshot",
    "TenantIdGenerator": ".boundaries.ids",
    "TenantRequest": ".boundaries.tenant_source",
    "TenantSpanProcessor": ".boundaries.tenant_spans",
    "reveal": ".redaction",
    "sensitive": ".redaction",
    "snapshot": ".running.snapshot",
    "tenant": ".boundaries.tenant",
    "tenant_label": ".boundaries.tenant",
    "use_tenant": ".boundaries.tenant",
}

__all__ = [
    "BoundedValues",
    "Layer",
    "Propagator",
    "Redaction",
    "Sensitive",
    "Settings",
    "SettingsError",
    "Snapshot",
    "TenantIdGenerator",
    "TenantRequest",
    "TenantSpanProcessor",
    "__version__",
    "configure",
    "own_failures",
    "record",
    "reveal",
    "sensitive",
    "snapshot",
    "tenant",
    "tenant_label",
    "use_tenant",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
