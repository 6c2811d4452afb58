"""What is changed in gRPC, and how it is put back.

| target | why | undone by |
|---|---|---|
| `grpc._server._Server.__init__` | a seam between each two interceptors | the function it was |
| `grpc.aio._server.Server.__init__` | the same for asyncio | the function it was |

Both take the interceptors in the order in which they will run, whoever has added some by then:
stock's instrumentation puts its own first, in a `grpc.server` of its own. Tried with grpcio 1.60
to 1.85. A constructor that is not what it was is left alone, with a line in the log: then the
interceptor is a seam at its own place.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from grpc import _server as sync_server
from grpc.aio import _server as aio_server

from everylayer import fit
from everylayer.failsafe import contained
from everylayer.layers import Layer
from everylayer.settings import Settings

from .aio_server import AioProbe, AioServerSeam
from .naming import interceptor, is_stock
from .server import Probe, ServerSeam

_SYNC = (
    "self thread_pool generic_handlers interceptors options maximum_concurrent_rpcs compression xds"
)
_AIO = "self thread_pool generic_handlers interceptors options maximum_concurrent_rpcs compression"
_AT = 3  # Position of `interceptors`, `self` counted.

_originals: dict[Any, Callable[..., None]] = {}
_claim: Settings | None = None


def claim(settings: Settings | None) -> None:
    """Cover each server that is made from now on, for `settings`; None: those that ask for it."""
    global _claim
    _claim = settings


def install() -> None:
    """Put the seams in place, once."""
    for cls, parameters, arrange in (
        (sync_server._Server, _SYNC, _arranged),
        (aio_server.Server, _AIO, _arranged_aio),
    ):
        if cls in _originals:
            continue
        if not fit.takes(cls.__init__, parameters):
            fit.warn_left_alone(
                f"{cls.__module__}.{cls.__qualname__}",
                "grpcio",
                "what interceptors around everylayer's raise or convert",
                "everylayer-grpc",
            )
            continue
        _originals[cls] = cls.__init__
        cls.__init__ = _arranging(cls.__init__, arrange)


def remove() -> None:
    """Put everything back; servers that are there keep their seams."""
    for cls, original in _originals.items():
        cls.__init__ = original
    _originals.clear()


def _arranging(
    original: Callable[..., None], arrange: Callable[[Sequence[Any]], Sequence[Any]]
) -> Callable[..., None]:
    @functools.wraps(original)
    def __init__(*args: Any, **named: Any) -> None:
        if len(args) > _AT:
            args = (*args[:_AT], _or_as_given(arrange, args[_AT]), *args[_AT + 1 :])
        elif "interceptors" in named:
            named["interceptors"] = _or_as_given(arrange, named["interceptors"])
        original(*args, **named)

    return __init__


def _or_as_given(arrange: Callable[[Sequence[Any]], Sequence[Any]], given: Any) -> Any:
    try:
        chain = tuple(given or ())
    except TypeError:
        return given  # gRPC will refuse it, in its own words.
    return contained(arrange)(chain) or chain


def _arranged(given: Sequence[Any]) -> Sequence[Any]:
    return _between(given, grpc.ServerInterceptor, ServerSeam, Probe)


def _arranged_aio(given: Sequence[Any]) -> Sequence[Any]:
    return _between(given, aio_server.ServerInterceptor, AioServerSeam, AioProbe)


def _between(given: Sequence[Any], kind: type, seam: type, probe: Callable[..., Any]) -> list[Any]:
    """Return `given` with our seam first, and a probe inside each of the others."""
    ours = [layer for layer in given if isinstance(layer, seam)]
    others = [layer for layer in given if not isinstance(layer, seam)]
    settings = ours[-1].settings if ours else _claim
    # gRPC refuses what is no interceptor, with a list of those: it must be theirs alone.
    if settings is None or not all(isinstance(layer, kind) for layer in others):
        return list(given)
    outermost = seam(settings)
    outermost.sole = True
    outermost.alone = not any(map(is_stock, others))
    chain: list[Any] = [outermost]
    layers: list[Layer] = []
    index = 0
    for layer in others:
        layers.append(interceptor(layer, index))
        index += not is_stock(layer)
    for layer, own, following in zip(others, layers, [*layers[1:], None], strict=True):
        chain += [layer, probe(own, following, is_stock(layer))]
    outermost.first = layers[0] if layers else None
    return chain
