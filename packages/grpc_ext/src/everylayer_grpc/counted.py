"""A client's messages that count themselves, with no step of Python's for each."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from grpc import _server

# What gRPC gives to a method that takes a stream; anything else is an interceptor's own.
FROM_GRPC: Any = getattr(_server, "_RequestIterator", None)

if TYPE_CHECKING:
    _Compress = itertools.compress[Any]
else:
    _Compress = itertools.compress


class Counted(_Compress):
    """As gRPC's own iterator; made of that and of an `itertools.count(1)`, one for each message."""

    __slots__ = ()

    def next(self) -> Any:  # gRPC's own iterator has it.
        return next(self)
