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
    """As the iterator that it is made of, which is gRPC's own."""

    __slots__ = ("_inner", "_looks", "_numbers")

    _inner: Any
    _looks: int
    _numbers: itertools.count[int]

    def __new__(cls, inner: Any) -> Counted:
        numbers = itertools.count(1)  # All of them true, one for each message that came.
        made = super().__new__(cls, inner, numbers)
        made._inner = inner
        made._numbers = numbers
        made._looks = 0
        return made

    def count(self) -> int:
        """Return how many messages came."""
        self._looks += 1
        return next(self._numbers) - self._looks

    def next(self) -> Any:  # gRPC's own iterator has it.
        return next(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
