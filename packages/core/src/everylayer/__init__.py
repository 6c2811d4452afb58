"""Every error of every middleware layer on the active span, exactly once."""

from __future__ import annotations

from .failsafe import own_failures
from .layers import Layer
from .observer import record
from .redaction import Redaction, Sensitive, reveal, sensitive
from .settings import Settings, SettingsError, configure

__version__ = "0.1.0"

__all__ = [
    "Layer",
    "Redaction",
    "Sensitive",
    "Settings",
    "SettingsError",
    "__version__",
    "configure",
    "own_failures",
    "record",
    "reveal",
    "sensitive",
]
