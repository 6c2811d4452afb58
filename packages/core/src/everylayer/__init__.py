"""Every error of every middleware layer on the active span, exactly once."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .failsafe import own_failures
from .layers import Layer
from .observer import record
from .settings import Settings, SettingsError, configure

if TYPE_CHECKING:
    from .boundaries.pool import ProcessPoolExecutor
    from .redaction import Redaction, Sensitive, reveal, sensitive
    from .running.snapshot import Snapshot, snapshot

__version__ = "0.1.0"

# Loaded by whoever uses them.
_LAZY = {
    "ProcessPoolExecutor": ".boundaries.pool",
    "Redaction": ".redaction",
    "Sensitive": ".redaction",
    "Snapshot": ".running.snapshot",
    "reveal": ".redaction",
    "sensitive": ".redaction",
    "snapshot": ".running.snapshot",
}

__all__ = [
    "Layer",
    "ProcessPoolExecutor",
    "Redaction",
    "Sensitive",
    "Settings",
    "SettingsError",
    "Snapshot",
    "__version__",
    "configure",
    "own_failures",
    "record",
    "reveal",
    "sensitive",
    "snapshot",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
