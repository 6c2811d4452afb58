"""Every error of every middleware layer on the active span, exactly once."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .failsafe import own_failures
from .layers import Layer
from .observer import record
from .settings import Settings, SettingsError, configure

if TYPE_CHECKING:
    from .boundaries.carried import propagate
    from .boundaries.guards import guard
    from .boundaries.pools import ThreadPoolExecutor
    from .boundaries.propagator import Propagator
    from .boundaries.tasks import TaskGroup, create_task
    from .log_filter import TraceFilter
    from .origin import ErrorOrigin, trace_of
    from .redaction import Redaction, Sensitive, reveal, sensitive
    from .running.snapshot import Snapshot, snapshot

__version__ = "0.1.0"

# Loaded by whoever uses them.
_LAZY = {
    "ErrorOrigin": ".origin",
    "Propagator": ".boundaries.propagator",
    "Redaction": ".redaction",
    "Sensitive": ".redaction",
    "Snapshot": ".running.snapshot",
    "TaskGroup": ".boundaries.tasks",
    "ThreadPoolExecutor": ".boundaries.pools",
    "TraceFilter": ".log_filter",
    "create_task": ".boundaries.tasks",
    "guard": ".boundaries.guards",
    "propagate": ".boundaries.carried",
    "reveal": ".redaction",
    "sensitive": ".redaction",
    "snapshot": ".running.snapshot",
    "trace_of": ".origin",
}

__all__ = [
    "ErrorOrigin",
    "Layer",
    "Propagator",
    "Redaction",
    "Sensitive",
    "Settings",
    "SettingsError",
    "Snapshot",
    "TaskGroup",
    "ThreadPoolExecutor",
    "TraceFilter",
    "__version__",
    "configure",
    "create_task",
    "guard",
    "own_failures",
    "propagate",
    "record",
    "reveal",
    "sensitive",
    "snapshot",
    "trace_of",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        found = globals()[name] = getattr(import_module(_LAZY[name], __name__), name)
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
