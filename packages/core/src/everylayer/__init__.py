"""Every error of every middleware layer on the active span, exactly once."""

from __future__ import annotations

from .failsafe import own_failures
from .layers import Layer
from .observer import record
from .settings import Settings, SettingsError, configure
from .snapshot import Snapshot, snapshot

__version__ = "0.1.0"

__all__ = [
    "Layer",
    "Settings",
    "SettingsError",
    "Snapshot",
    "__version__",
    "configure",
    "own_failures",
    "record",
    "snapshot",
]
