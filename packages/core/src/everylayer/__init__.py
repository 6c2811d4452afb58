"""Every error of every middleware layer on the active span, exactly once."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import startup as _startup  # noqa: F401 - it tells settings what they switch on
from .failsafe import own_failures
from .layers import Layer
from .observer import record
from .settings import Settings, SettingsError, configure
from .version import __version__

if TYPE_CHECKING:
    from .boundaries.away import carried, uncarried
    from .boundaries.bounded import BoundedValues
    from .boundaries.carried import propagate
    from .boundaries.guards import guard
    from .boundaries.ids import TenantIdGenerator
    from .boundaries.malformed import malformed_input
    from .boundaries.opentracing import OpenTracingPropagator
    from .boundaries.pools import ThreadPoolExecutor
    from .boundaries.process_pool import ProcessPoolExecutor
    from .boundaries.processes import Process
    from .boundaries.propagator import Propagator
    from .boundaries.tasks import TaskGroup, create_task
    from .boundaries.tenant import tenant, use_tenant
    from .boundaries.tenant_labels import tenant_label
    from .boundaries.tenant_source import TenantRequest
    from .boundaries.tenant_spans import TenantSpanProcessor
    from .error_record import ErrorRecord
    from .log_filter import TraceFilter
    from .origin import ErrorOrigin, trace_of
    from .record_json import RecordError, error_from_json, error_to_json
    from .redaction import Redaction, Sensitive, reveal, sensitive
    from .remote import record_remote
    from .running.snapshot import Snapshot, snapshot


# Loaded by whoever uses them.
_LAZY = {
    "BoundedValues": ".boundaries.bounded",
    "ErrorOrigin": ".origin",
    "ErrorRecord": ".error_record",
    "OpenTracingPropagator": ".boundaries.opentracing",
    "Process": ".boundaries.processes",
    "ProcessPoolExecutor": ".boundaries.process_pool",
    "Propagator": ".boundaries.propagator",
    "RecordError": ".record_json",
    "Redaction": ".redaction",
    "Sensitive": ".redaction",
    "Snapshot": ".running.snapshot",
    "TaskGroup": ".boundaries.tasks",
    "TenantIdGenerator": ".boundaries.ids",
    "TenantRequest": ".boundaries.tenant_source",
    "TenantSpanProcessor": ".boundaries.tenant_spans",
    "ThreadPoolExecutor": ".boundaries.pools",
    "TraceFilter": ".log_filter",
    "_arrived": ".boundaries.away",
    "carried": ".boundaries.away",
    "create_task": ".boundaries.tasks",
    "error_from_json": ".record_json",
    "error_to_json": ".record_json",
    "guard": ".boundaries.guards",
    "malformed_input": ".boundaries.malformed",
    "propagate": ".boundaries.carried",
    "record_remote": ".remote",
    "reveal": ".redaction",
    "sensitive": ".redaction",
    "snapshot": ".running.snapshot",
    "tenant": ".boundaries.tenant",
    "tenant_label": ".boundaries.tenant_labels",
    "trace_of": ".origin",
    "uncarried": ".boundaries.away",
    "use_tenant": ".boundaries.tenant",
}

__all__ = [
    "BoundedValues",
    "ErrorOrigin",
    "ErrorRecord",
    "Layer",
    "OpenTracingPropagator",
    "Process",
    "ProcessPoolExecutor",
    "Propagator",
    "RecordError",
    "Redaction",
    "Sensitive",
    "Settings",
    "SettingsError",
    "Snapshot",
    "TaskGroup",
    "TenantIdGenerator",
    "TenantRequest",
    "TenantSpanProcessor",
    "ThreadPoolExecutor",
    "TraceFilter",
    "__version__",
    "carried",
    "configure",
    "create_task",
    "error_from_json",
    "error_to_json",
    "guard",
    "malformed_input",
    "own_failures",
    "propagate",
    "record",
    "record_remote",
    "reveal",
    "sensitive",
    "snapshot",
    "tenant",
    "tenant_label",
    "trace_of",
    "uncarried",
    "use_tenant",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        found = globals()[name] = getattr(import_module(_LAZY[name], __name__), name)
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
