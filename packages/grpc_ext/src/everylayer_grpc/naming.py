"""Who the layers of an RPC are."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from everylayer.layers import Layer, name_of

# What brings the requests to the outermost interceptor.
GRPC = Layer("grpc", "server")

STOCK = "opentelemetry.instrumentation.grpc"


@functools.lru_cache(maxsize=512)
def _servicer(name: str) -> Layer:
    return Layer(name, "view")


def servicer(behavior: Any) -> Layer:
    """Return the layer that a method of a servicer is."""
    return _servicer(name_of(behavior))


def interceptor(target: Any, index: int) -> Layer:
    """Return the layer that an interceptor is.

    Args:
        target: the interceptor.
        index: its position, 0 outermost.
    """
    return Layer(name_of(target), "middleware", index)


def named(interceptors: Sequence[Any]) -> list[Layer]:
    """Return the layers that `interceptors` are; that of OpenTelemetry is not counted."""
    found: list[Layer] = []
    index = 0
    for target in interceptors:
        found.append(interceptor(target, index))
        index += not is_stock(target)
    return found


def is_stock(target: Any) -> bool:
    """Tell whether `target` is what begins the server span for OpenTelemetry's own package."""
    return any(cls.__module__.startswith(STOCK) for cls in type(target).__mro__)


def is_stocks_own(target: Any) -> bool:
    """Tell whether `target` is of a class of OpenTelemetry's own package, and not of one below."""
    return type(target).__module__.startswith(STOCK)
