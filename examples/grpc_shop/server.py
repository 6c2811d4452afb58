"""The server with threads: what each RPC passes, from the outside in."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent import futures

import grpc
from opentelemetry.instrumentation.grpc import server_interceptor

from shop import tracing

from .interceptors import AccessLog, Authentication, RateLimit, Recovery, Validation
from .service import Shop
from .wire import handlers


def create_server(more: Sequence[grpc.ServerInterceptor] = ()) -> grpc.Server:
    """Build the shop, with the interceptors `more` after its own; it has no port yet."""
    tracing.start("grpc-shop")
    stock = server_interceptor()  # type: ignore[no-untyped-call]
    chain = [stock, AccessLog(), Recovery(), Authentication(), RateLimit(), Validation(), *more]
    server = grpc.server(futures.ThreadPoolExecutor(4), interceptors=chain)
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
