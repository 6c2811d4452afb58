"""What is changed in gRPC, and how it is put back.

| target | why | undone by |
|---|---|---|
| `grpc._server._Server.__init__` | one seam around all, which runs them | the function it was |
| `grpc.aio._server.Server.__init__` | the same for asyncio | the function it was |
| `grpc.aio._channel.Channel.__init__` | our interceptors inside those of stock | the same |
| `OpenTelemetryClientInterceptor.intercept_unary` of stock | how an RPC ends | the same |
| `OpenTelemetryClientInterceptor.intercept_stream` of stock | how an RPC ends | the same |

The servers take the interceptors in the order in which they will run, whoever has added some by
then: stock's instrumentation puts its own first, in a `grpc.server` of its own. Tried with grpcio
1.60 to 1.85. What is not as it was is left alone, with a line in the log: then the interceptor is
a seam at its own place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import grpc
import grpc.aio
from grpc import _server as grpc_server
from grpc.aio import _channel as aio_channel
from grpc.aio import _server as grpc_aio_server

from everylayer import fit
from everylayer import settings as rules
from everylayer.boundaries.patch import Make, Patch, Switch
from everylayer.failsafe import contained
from everylayer.settings import Settings

from . import aio_server, server, stock_client
from .aio_client import KINDS
from .aio_server import AioServerSeam
from .around import aio_around, around
from .client import inside_stock
from .peers import tell_core, tell_core_no_more
from .remote import listen
from .server import ServerSeam

_SYNC = (
    "self thread_pool generic_handlers interceptors options maximum_concurrent_rpcs compression xds"
)
_AIO = "self thread_pool generic_handlers interceptors options maximum_concurrent_rpcs compression"
_CHANNEL = "self target options credentials compression interceptors"
_STOCK = {
    "intercept_unary": "self request metadata client_info invoker",
    "intercept_stream": "self request_or_iterator metadata client_info invoker",
}
_AT = 3  # Position of `interceptors` in a server's, `self` counted.

_put: dict[tuple[Any, str], Patch] = {}
_claim: Settings | None = None


def claim(settings: Settings | None) -> None:
    """Cover each server and channel made from now on; None: those that ask for it."""
    global _claim
    _claim = settings


def install() -> None:
    """Put the seams of servers in place, once."""
    tell_core()
    missing = "what interceptors around everylayer's raise or convert"
    for cls, known, arrange, afterwards in (
        (grpc_server._Server, _SYNC, _arranged, _without_pipeline),
        (grpc_aio_server.Server, _AIO, _arranged_aio, None),
    ):
        if _fits(cls, "__init__", known, "grpcio", missing):
            _replace(cls, "__init__", partial(_arranging, arrange, _AT, afterwards))


def install_client() -> None:
    """Put the seams of clients in place, once."""
    channel = aio_channel.Channel
    if _fits(channel, "__init__", _CHANNEL, "grpcio", "errors on stock's client spans"):
        _replace(channel, "__init__", partial(_arranging, _arranged_channel, _AT + 2, None))
    listen(_settings())
    stock = stock_client.interceptor_class()
    for name, known in _STOCK.items() if stock is not None else ():
        distribution = "opentelemetry-instrumentation-grpc"
        if _fits(stock, name, known, distribution, "errors on client spans"):
            _replace(stock, name, partial(inside_stock, _settings))


def remove() -> None:
    """Put everything back; servers and channels that are there keep their seams.

    What others have put around ours since stays, and ours does nothing within it.
    """
    for patch in _put.values():
        patch.undo()
    _put.clear()
    tell_core_no_more()


def _settings() -> Settings:
    return _claim or rules.current()


def _fits(cls: Any, name: str, known: str, distribution: str, missing: str) -> bool:
    if (cls, name) in _put:
        return False
    if fit.takes(getattr(cls, name, None), known):
        return True
    target = f"{cls.__module__}.{cls.__qualname__}.{name}"
    fit.warn_left_alone(target, distribution, missing, "everylayer-grpc")
    return False


def _replace(cls: Any, name: str, make: Make) -> None:
    patch = _put[cls, name] = Patch(cls, name, make)
    patch.put()


def _arranging(
    arrange: Callable[[Sequence[Any]], Sequence[Any]],
    at: int,
    afterwards: Callable[[Any], None] | None,
    original: Callable[..., None],
    switch: Switch,
) -> Callable[..., None]:
    def __init__(*args: Any, **named: Any) -> None:
        if not switch.on:
            original(*args, **named)
            return
        if len(args) > at:
            args = (*args[:at], _or_as_given(arrange, args[at]), *args[at + 1 :])
        elif "interceptors" in named:
            named["interceptors"] = _or_as_given(arrange, named["interceptors"])
        original(*args, **named)
        if afterwards is not None:
            afterwards(args[0])

    return __init__


def _or_as_given(arrange: Callable[[Sequence[Any]], Sequence[Any]], given: Any) -> Any:
    try:
        chain = tuple(given or ())
    except TypeError:
        return given  # gRPC will refuse it, in its own words.
    arranged = contained(arrange)(chain)
    return given if arranged is None else arranged


def _arranged_channel(given: Sequence[Any]) -> Sequence[Any]:
    """Return `given` with ours innermost, where the call itself comes back to them."""
    ours: list[Any] = [layer for layer in given if isinstance(layer, KINDS)]
    if not ours and _claim is not None:
        ours = [kind(_claim, begins=False) for kind in KINDS]
    return [*(layer for layer in given if not isinstance(layer, KINDS)), *ours] or given


def _arranged(given: Sequence[Any]) -> Sequence[Any]:
    return _inside_ours(given, grpc.ServerInterceptor, ServerSeam, server.arranged, around)


@contained
def _without_pipeline(made: Any) -> None:
    """Let `made`, a server, call our seam where it would make a pipeline of that alone."""
    pipeline: Any = getattr(getattr(made, "_state", None), "interceptor_pipeline", None)
    interceptors: Sequence[Any] = getattr(pipeline, "interceptors", ())
    if [type(layer) for layer in interceptors] == [ServerSeam] and hasattr(pipeline, "execute"):
        pipeline.execute = interceptors[0].intercept_service


def _arranged_aio(given: Sequence[Any]) -> Sequence[Any]:
    return _inside_ours(
        given, grpc.aio.ServerInterceptor, AioServerSeam, aio_server.arranged, aio_around
    )


def _inside_ours(
    given: Sequence[Any],
    kind: type,
    seam: type,
    arrange: Callable[[Settings, Sequence[Any]], list[Any]],
    outside: Callable[[Settings], list[Any]],
) -> list[Any]:
    """Return `given` with our seam around all others, wherever it stood.

    Args:
        given: interceptors in the order in which they will run.
        kind: what an interceptor is.
        seam: our own class.
        arrange: makes our seam, and what it needs, of the others.
        outside: what the settings ask for around that.
    """
    ours: list[Any] = [layer for layer in given if isinstance(layer, seam)]
    others = [layer for layer in given if not isinstance(layer, seam)]
    settings = ours[-1].settings if ours else _claim
    # gRPC refuses what is no interceptor, with a list of those: it must be theirs alone.
    if settings is None or not all(isinstance(layer, kind) for layer in others):
        return list(given)
    # A seam that records nothing must not be the one that runs the others.
    arranged = arrange(settings, others) if settings.enabled else others
    return [*outside(settings), *arranged]
