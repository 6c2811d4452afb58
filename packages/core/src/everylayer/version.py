"""Of this package, as its metadata says it too."""

from __future__ import annotations

__version__ = "0.1.0"
