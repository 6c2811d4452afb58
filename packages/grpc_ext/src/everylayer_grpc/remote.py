"""What a failing server tells of its error in the trailing metadata, for those who call it."""

from __future__ import annotations

from typing import Any

import grpc

from everylayer.boundaries import received
from everylayer.settings import Settings

from .codes import code_of, is_server_error

_keys: set[str] = set()


def listen(settings: Settings) -> None:
    """Let errors of this process tell what their servers said, if the settings ask for it."""
    if settings.enabled and settings.error_context != "off":
        _keys.add(settings.error_context_header)
        if told_by not in received.finders:
            received.finders.append(told_by)


def told_by(error: BaseException) -> str | bytes | None:
    """Return what came with a failing RPC; None of other errors."""
    kind: Any = type(error)
    # A server's own, and what a proxy of ours has made of one, are bare.
    if not (issubclass(kind, grpc.RpcError) and hasattr(kind, "trailing_metadata")):
        return None
    code = code_of(kind.code(error))
    if code is None or not is_server_error(code):
        return None
    trailing = kind.trailing_metadata(error) or ()
    return next((pair[1] for pair in trailing if pair[0] in _keys), None)
