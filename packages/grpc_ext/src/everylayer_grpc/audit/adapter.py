"""How an audit opens a gRPC server, with threads or with asyncio."""

from __future__ import annotations

import functools
from typing import Any

import grpc

from everylayer.audit.adapter import Chain, Opened
from everylayer.audit.model import Arm, Request, Shape
from everylayer.audit.parts import Part, numbered
from everylayer.audit.wire import TargetError

from ..aio_server import AioServerSeam
from ..interceptors import aio_server_interceptor, server_interceptor
from ..naming import is_stock
from ..server import ServerSeam
from .drive import AioDriver, Driver
from .held import Held, held, hold, made, release
from .layers import interceptor_parts, is_ours
from .methods import completed, encoded, handler_of
from .services import Streaming, service_parts
from .shapes import shaping

_ABSENT = "opentelemetry-instrumentation-grpc is not installed"


class GrpcAdapter:
    """Makes a server of what the app has given to its own, for each RPC a new one."""

    framework = "grpc"

    def __init__(self) -> None:
        self._request = Request()

    def prepare(self, arm: Arm) -> None:
        """Have each server that the app makes keep what it is given, and open no port."""
        hold()

    def aim(self, request: Request) -> None:
        """Take the request that will be sent."""
        self._request = request

    def made(self) -> Any:
        """Return the server that the app made last, None if it made none."""
        return made()

    def claims(self, app: object) -> bool:
        """Tell whether `app` is a gRPC server."""
        return isinstance(app, (grpc.Server, grpc.aio.Server))

    def open(self, app: Any, arm: Arm, shape: Shape) -> Opened:
        """Arrange the interceptors as `arm` and `shape` ask, and read the chain."""
        found = _held(app)
        release()
        request = completed(self._request, found.handlers)
        stock, added = _stock(found, arm)
        streaming = Streaming(found.handlers)
        chain = _chain(found, arm, added)
        place = next((at for at, each in enumerate(chain) if not _is_added(each)), len(chain))
        served = [*chain[:place], *shaping(shape, is_aio=found.is_aio), *chain[place:]]
        handlers = [streaming, *found.handlers]

        def make(pool: Any) -> Any:
            return found.make(thread_pool=pool, interceptors=served, generic_handlers=handlers)

        def encode(asked: Request) -> list[bytes]:
            handler = handler_of(found.handlers, asked.path)
            return [encoded(message, handler) for message in asked.messages]

        encode(request)
        if found.is_aio:
            make_aio = functools.partial(make, found.given.get("thread_pool"))
            driver: Any = functools.partial(AioDriver, make_aio, encode)
        else:
            driver = functools.partial(Driver, make, encode)
        parts = _parts(found, chain, request, streaming)
        return Opened(
            app,
            "asyncio" if found.is_aio else "threads",
            numbered(parts),
            stock,
            driver=driver,
            request=request,
        )

    def chain(self, app: Any) -> Chain:
        """Read the chain of a server that was held; one that serves does not tell its parts."""
        found = _held(app)
        request = completed(self._request, found.handlers)
        chain = _without_probes(found)
        return numbered(_parts(found, chain, request, Streaming(found.handlers)))


def _parts(found: Held, chain: list[Any], request: Request, streaming: Streaming) -> list[Part]:
    handler = handler_of(found.handlers, request.path)
    streams = bool(handler.request_streaming or handler.response_streaming)
    return [
        *interceptor_parts(chain, streams=streams),
        *service_parts(found.handlers, streaming),
    ]


def _held(app: Any) -> Held:
    found = held(app)
    if found is None:
        raise TargetError(f"this server cannot be read: it is a {type(app).__qualname__}")
    return found


def _is_added(layer: Any) -> bool:
    return is_ours(layer) or is_stock(layer)


def _without_probes(found: Held) -> list[Any]:
    chain: list[Any] = []
    for each in found.given.get("interceptors") or ():
        chain.append(each)
        if isinstance(each, (ServerSeam, AioServerSeam)):
            chain += each.others  # It runs what it stands around.
    return chain


def _stock(found: Held, arm: Arm) -> tuple[str, list[Any]]:
    """Return why stock is not on, "" if it is, and its interceptor if the app has none."""
    if arm == "bare":
        return "this is the arm without telemetry", []
    if any(map(is_stock, _without_probes(found))):
        return "", []
    try:
        from opentelemetry.instrumentation import grpc as stock
    except ImportError:
        return _ABSENT, []
    make: Any = stock.aio_server_interceptor if found.is_aio else stock.server_interceptor
    return "", [make()]


def _chain(found: Held, arm: Arm, added: list[Any]) -> list[Any]:
    """Return the interceptors of `arm`, without what the shape adds."""
    given = _without_probes(found)
    if arm == "bare":
        return [each for each in given if not _is_added(each)]
    if arm == "stock":
        return [*added, *(each for each in given if not is_ours(each))]
    ours = [each for each in given if is_ours(each)][-1:]
    if not ours:
        ours = [aio_server_interceptor() if found.is_aio else server_interceptor()]
    return [*ours, *added, *(each for each in given if not is_ours(each))]
