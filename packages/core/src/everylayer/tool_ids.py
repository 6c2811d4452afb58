"""Ids of `sys.monitoring` that are free: there are six for the whole process."""

from __future__ import annotations

import sys

# 0 and 1 are left to debuggers and coverage tools, which know no other; 2 is for profilers and 5
# for optimizers, so these come last.
_CANDIDATES = (3, 4, 5, 2)


def claim(name: str) -> int | None:
    """Return an id that is now taken under `name`, None if none is free."""
    for tool in _CANDIDATES:
        try:
            sys.monitoring.use_tool_id(tool, name)
        except ValueError:
            continue
        return tool
    return None
