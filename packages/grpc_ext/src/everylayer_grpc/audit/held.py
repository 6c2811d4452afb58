"""What an app gives to its server, kept in place of one that would open a port.

An asyncio server does not tell what it was given; and a fault needs a server for itself, made of
the same parts.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable
from typing import Any

import grpc
from grpc import _server as sync_server
from grpc import aio
from grpc.aio import _server as aio_server

_PORT = 50051  # What an app is told that it listens at, where it leaves the choice.


class Held:
    """What one server was given.

    Attributes:
        cls: that of the server.
        given: the arguments that it was made with, by name.
        handlers: what answers its RPCs, in the order in which they are asked.
    """

    __slots__ = ("cls", "given", "handlers")

    def __init__(self, cls: type[Any], given: dict[str, Any]) -> None:
        self.cls = cls
        self.given = given
        self.handlers = list(given.get("generic_handlers") or ())

    @property
    def is_aio(self) -> bool:
        """Whether it is an asyncio server."""
        return issubclass(self.cls, aio.Server)

    def make(self, **instead: Any) -> Any:
        """Return a real server of the same arguments, but `instead`."""
        return self.cls(**{**self.given, **instead})


_held: weakref.WeakKeyDictionary[Any, Held] = weakref.WeakKeyDictionary()
_made: list[Any] = []  # The last one.
_holding = False
_MARK = "_everylayer_holds"
_NAMES = (
    *("thread_pool", "generic_handlers", "interceptors", "options", "maximum_concurrent_rpcs"),
    *("compression", "xds"),
)


def hold() -> None:
    """Let servers made from now on be held, until `release`."""
    global _holding
    _holding = True
    for cls in (sync_server._Server, aio_server.Server):
        # A seam around this carries the mark as well.
        if not hasattr(cls.__init__, _MARK):
            _stand_in(cls)


def release() -> None:
    """Let servers made from now on be real ones."""
    global _holding
    _holding = False


def held(server: Any) -> Held | None:
    """Return what `server` was given, None for one that was not held."""
    return _held.get(server)


def made() -> Any:
    """Return the server that was made last, None if there was none."""
    return _made[-1] if _made else None


def _stand_in(cls: type[Any]) -> None:
    make = cls.__init__

    def __init__(self: Any, *args: Any, **named: Any) -> None:
        if not _holding:
            make(self, *args, **named)
            return
        _held[self] = Held(type(self), {**dict(zip(_NAMES, args, strict=False)), **named})
        _made[:] = [self]

    functools.update_wrapper(__init__, make)
    setattr(__init__, _MARK, True)
    setattr(cls, "__init__", __init__)  # noqa: B010
    for name, instead in {**_GIVING, **(_AIO if issubclass(cls, aio.Server) else _SYNC)}.items():
        own = getattr(cls, name, None)  # Older versions know no registered methods.
        if own is not None:
            setattr(cls, name, _unless_real(own, instead))


def _unless_real(own: Callable[..., Any], instead: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(own)
    def method(self: Any, *args: Any, **named: Any) -> Any:
        found = _held.get(self)
        return own(self, *args, **named) if found is None else instead(found, *args, **named)

    return method


def _add(found: Held, generic_rpc_handlers: Any) -> None:
    found.handlers += generic_rpc_handlers


def _add_registered(found: Held, service_name: str, method_handlers: Any) -> None:
    # They come before the others.
    found.handlers.insert(0, grpc.method_handlers_generic_handler(service_name, method_handlers))


def _no_port(found: Held, address: str, *credentials: Any, **named: Any) -> int:
    port = address.rpartition(":")[2]
    return int(port) if port.isdecimal() and int(port) else _PORT


def _start(found: Held) -> None:
    """Do nothing: nobody is served."""


def _stop(found: Held, grace: float | None = None) -> threading.Event:
    stopped = threading.Event()
    stopped.set()
    return stopped


def _wait(found: Held, timeout: float | None = None) -> bool:
    return False


async def _start_aio(found: Held) -> None:
    """Do nothing: nobody is served."""


async def _stop_aio(found: Held, grace: float | None = None) -> None:
    """Do nothing: nobody is served."""


async def _wait_aio(found: Held, timeout: float | None = None) -> bool:
    return False


_GIVING: dict[str, Callable[..., Any]] = {
    "add_generic_rpc_handlers": _add,
    "add_registered_method_handlers": _add_registered,
    "add_insecure_port": _no_port,
    "add_secure_port": _no_port,
}
_SYNC: dict[str, Callable[..., Any]] = {
    "start": _start,
    "stop": _stop,
    "wait_for_termination": _wait,
}
_AIO: dict[str, Callable[..., Any]] = {
    "start": _start_aio,
    "stop": _stop_aio,
    "wait_for_termination": _wait_aio,
}
