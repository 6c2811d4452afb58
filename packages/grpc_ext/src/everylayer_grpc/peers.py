"""Whose metadata a propagator reads: the core asks, since metadata do not tell their peer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from everylayer.boundaries import trust

from .call import CURRENT
from .request import scope_of


def current_behind(carrier: Any) -> Mapping[str, Any] | None:
    """Return the RPC that is served here, if `carrier` holds its metadata and nothing else."""
    call = CURRENT.get()
    if call is None or not isinstance(carrier, dict) or carrier != dict(call.metadata):
        return None
    return scope_of(call.method, call.metadata, call.context)


def tell_core() -> None:
    """Let the core ask for the RPC behind metadata."""
    if current_behind not in trust.finders:
        trust.finders.append(current_behind)


def tell_core_no_more() -> None:
    """Undo `tell_core`."""
    if current_behind in trust.finders:
        trust.finders.remove(current_behind)
