"""Every error of every middleware layer on the active span, exactly once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .failsafe import own_failures
from .layers import Layer
from .observer import record
from .redaction import Redaction, Sensitive, reveal, sensitive
from .settings import Settings, SettingsError, configure

if TYPE_CHECKING:
    from .running.snapshot import Snapshot, snapshot

__version__ = "0.1.0"

__all__ = [
    "Layer",
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
    # Whoever takes no snapshot does not load what takes one.
    if name in ("Snapshot", "snapshot"):
        from .running import snapshot as taking

        return getattr(taking, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
