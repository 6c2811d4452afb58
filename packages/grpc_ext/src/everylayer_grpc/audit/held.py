"""What an app gives to its server, kept in place of one that would open a port.

An asyncio server does not tell what it was given; and a fault needs a server for itself, made of
the same parts.
"""

from __future__ import annotations

import functools
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
_holding = False
_NAMES = (
    *("thread_pool", "generic_handlers", "interceptors", "options", "maximum_concurrent_rpcs"),
    *("compression", "xds"),
)


def hold() -> None:
    """Let servers made from now on be held, until `release`."""
    global _holding
    _holding = True
    for cls in (sync_server._Server, aio_server.Server):
        _stand_in(cls)


def release() -> None:
    """Let servers made from now on be real ones."""
    global _holding
    _holding = False


def held(server: Any) -> Held | None:
    """Return what `server` was given, None for one that was not held."""
    return _held.get(server)


def _stand_in(cls: type[Any]) -> None:
    make = cls.__init__

    def __init__(self: Any, *args: Any, **named: Any) -> None:
        if not _holding:
            make(self, *args, **named)
            return
        _held[self] = Held(type(self), {**dict(zip(_NAMES, args, strict=False)), **named})

    setattr(cls, "__init__", functools.update_wrapper(__init__, make))  # noqa: B010
    replaced: dict[str, Callable[..., Any]] = {
        "add_generic_rpc_handlers": _add,
        "add_registered_method_handlers": _add_registered,
        "add_insecure_port": _no_port,
        "add_secure_port": _no_port,
        **({} if issubclass(cls, aio.Server) else {"start": _nothing, "stop": _nothing}),
        **({"start": _soon, "stop": _soon} if issubclass(cls, aio.Server) else {}),
        "wait_for_termination": _soon if issubclass(cls, aio.Server) else _nothing,
    }
    for name, instead in replaced.items():
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


def _nothing(found: Held, *args: Any, **named: Any) -> None:
    """Do nothing: nobody is served."""


async def _soon(found: Held, *args: Any, **named: Any) -> None:
    """Do nothing: nobody is served."""
