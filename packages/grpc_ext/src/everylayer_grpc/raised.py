"""What gRPC itself raises into an app: aborts, and the departure of the client."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

import grpc
from grpc import _server, aio

from everylayer.chain import traceback_of

# What reading or writing raises under asyncio once the client, or the server, has gone.
_CALL_IS_OVER = frozenset({"ExecuteBatchError", "_ServerStoppedError"})

_STATE: Any = getattr(_server, "_RPCState", None)
_CANCELLED: Any = getattr(_server, "_CANCELLED", None)

# How much earlier than the server's the client's clock may run out: seconds, and their share.
_EARLY = 0.05
_ROUNDED = 0.02


def is_abort(exc: BaseException) -> bool:
    """Tell whether `exc` is what `context.abort` raises.

    Under asyncio that has a class of its own; else it is a bare `Exception`, known by the frame
    that raised it.
    """
    kind = type(exc)
    if issubclass(kind, aio.AbortError):
        return True
    if kind is not Exception:
        return False
    tb: TracebackType | None = traceback_of(exc)
    while tb is not None and tb.tb_next is not None:
        tb = tb.tb_next
    if tb is None:
        return False
    frame = tb.tb_frame
    return frame.f_code.co_name == "abort" and frame.f_globals.get("__name__") == "grpc._server"


def is_departure(exc: BaseException, context: Any) -> bool:
    """Tell whether `exc` only says that the client has gone, or that its deadline is over."""
    kind = type(exc)
    if issubclass(kind, (asyncio.CancelledError, GeneratorExit)):
        return True
    if kind is grpc.RpcError:
        # Bare: what a server's request iterator raises; a client's errors are of derived classes.
        return has_left(context) or not hasattr(context, "is_active")
    return kind.__name__ in _CALL_IS_OVER and kind.__module__ == "grpc._cython.cygrpc"


def has_left(context: Any) -> bool:
    """Tell whether the client has gone, as far as gRPC's `context` tells: asyncio's does not."""
    try:
        state = context._state
    except AttributeError:
        state = None
    if type(state) is _STATE:
        # As `is_active` has it, without its lock: it is asked once for each RPC.
        return state.client is _CANCELLED or state.statused
    ask = getattr(context, "is_active", None)
    return ask is not None and not ask()


def has_spoken(context: Any) -> bool:
    """Tell whether the client has gone, or the app has set a code; as `has_left`."""
    try:
        state = context._state
    except AttributeError:
        return has_left(context)
    if type(state) is _STATE:
        return state.code is not None or state.client is _CANCELLED or state.statused
    return True


def after_departure(context: Any, seconds: float) -> grpc.StatusCode:
    """Return what the client saw last: that it cancelled, or that the time was over.

    Args:
        context: gRPC's.
        seconds: since the RPC began.
    """
    remaining = None if context is None else context.time_remaining()
    # The client's clock runs out first: its time-out is rounded up for the wire.
    if remaining is not None and remaining <= _EARLY + _ROUNDED * seconds:
        return grpc.StatusCode.DEADLINE_EXCEEDED
    return grpc.StatusCode.CANCELLED
