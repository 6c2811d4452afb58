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
    from .boundaries.carried import propagate
    from .boundaries.guards import guard
    from .boundaries.pools import ThreadPoolExecutor
    from .boundaries.process_pool import ProcessPoolExecutor
    from .boundaries.processes import Process
    from .boundaries.tasks import TaskGroup, create_task
    from .log_filter import TraceFilter
    from .origin import ErrorOrigin, trace_of
    from .record import ErrorRecord
    from .record_json import error_from_json, error_to_json
    from .redaction import Redaction, Sensitive, reveal, sensitive
    from .remote import record_remote
    from .running.snapshot import Snapshot, snapshot

__version__ = "0.1.0"

# Loaded by whoever uses them.
_LAZY = {
    "ErrorOrigin": ".origin",
    "ErrorRecord": ".record",
    "Process": ".boundaries.processes",
    "ProcessPoolExecutor": ".boundaries.process_pool",
    "Redaction": ".redaction",
    "Sensitive": ".redaction",
    "Snapshot": ".running.snapshot",
    "TaskGroup": ".boundaries.tasks",
    "ThreadPoolExecutor": ".boundaries.pools",
    "TraceFilter": ".log_filter",
    "carried": ".boundaries.away",
    "create_task": ".boundaries.tasks",
    "error_from_json": ".record_json",
    "error_to_json": ".record_json",
    "guard": ".boundaries.guards",
    "propagate": ".boundaries.carried",
    "record_remote": ".remote",
    "reveal": ".redaction",
    "sensitive": ".redaction",
    "snapshot": ".running.snapshot",
    "trace_of": ".origin",
    "uncarried": ".boundaries.away",
}

__all__ = [
    "ErrorOrigin",
    "ErrorRecord",
    "Layer",
    "Process",
    "ProcessPoolExecutor",
    "Redaction",
    "Sensitive",
    "Settings",
    "SettingsError",
    "Snapshot",
    "TaskGroup",
    "ThreadPoolExecutor",
    "TraceFilter",
    "__version__",
    "carried",
    "configure",
    "create_task",
    "error_from_json",
    "error_to_json",
    "guard",
    "own_failures",
    "propagate",
    "record",
    "record_remote",
    "reveal",
    "sensitive",
    "snapshot",
    "trace_of",
    "uncarried",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
