"""Every error of every middleware layer on the active span, exactly once."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .failsafe import own_failures
from .layers import Layer
from .observer import record
from .settings import Settings, SettingsError, configure

if TYPE_CHECKING:
    from .boundaries.away import carried, uncarried
    from .boundaries.pool import ProcessPoolExecutor
    from .boundaries.processes import Process
    from .record import ErrorRecord
    from .record_json import error_from_json, error_to_json
    from .redaction import Redaction, Sensitive, reveal, sensitive
    from .remote import record_remote
    from .running.snapshot import Snapshot, snapshot

__version__ = "0.1.0"

# Loaded by whoever uses them.
_LAZY = {
    "ErrorRecord": ".record",
    "Process": ".boundaries.processes",
    "ProcessPoolExecutor": ".boundaries.pool",
    "Redaction": ".redaction",
    "Sensitive": ".redaction",
    "Snapshot": ".running.snapshot",
    "reveal": ".redaction",
    "sensitive": ".redaction",
    "carried": ".boundaries.away",
    "error_from_json": ".record_json",
    "error_to_json": ".record_json",
    "record_remote": ".remote",
    "snapshot": ".running.snapshot",
    "uncarried": ".boundaries.away",
}

__all__ = [
    "ErrorRecord",
    "Layer",
    "Process",
    "ProcessPoolExecutor",
    "Redaction",
    "Sensitive",
    "Settings",
    "SettingsError",
    "Snapshot",
    "__version__",
    "carried",
    "configure",
    "error_from_json",
    "error_to_json",
    "own_failures",
    "record",
    "record_remote",
    "reveal",
    "sensitive",
    "snapshot",
    "uncarried",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
