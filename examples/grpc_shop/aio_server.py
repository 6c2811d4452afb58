"""The server with asyncio: what each RPC passes, from the outside in."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from opentelemetry.instrumentation.grpc import aio_server_interceptor

from shop import tracing

from .aio_interceptors import AccessLog, Authentication, RateLimit, Recovery, Validation
from .aio_service import Shop
from .wire import handlers


def create_server(more: Sequence[grpc.aio.ServerInterceptor] = ()) -> grpc.aio.Server:
    """Build the shop, with the interceptors `more` after its own; it has no port yet."""
    tracing.start("grpc-aio-shop")
    stock = aio_server_interceptor()  # type: ignore[no-untyped-call]
    chain = [stock, AccessLog(), Recovery(), Authentication(), RateLimit(), Validation(), *more]
    server = grpc.aio.server(interceptors=chain)
    shop = Shop()
    methods = {
        "Order": shop.order,
        "Stock": shop.stock,
        "Report": shop.report,
        "Restock": shop.restock,
        "Basket": shop.basket,
    }
    server.add_generic_rpc_handlers((handlers(methods),))
    return server
