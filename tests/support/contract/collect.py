"""Garbage, and what it has to tell: done with before a test looks."""

from __future__ import annotations

import gc

from everylayer.boundaries import aftermath


def collect() -> None:
    """Collect what nobody holds, and wait until what that had to tell has been told."""
    gc.collect()
    assert aftermath.settle()
