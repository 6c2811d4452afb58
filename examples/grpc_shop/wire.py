"""The service's name, and its messages: JSON, so that no generated code is needed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import grpc

from shop import drill

SERVICE = "shop.Shop"
# What each method takes and gives: `stream` or `unary`.
METHODS = {
    "Order": "unary_unary",
    "Stock": "unary_unary",
    "Report": "unary_stream",
    "Restock": "stream_unary",
    "Basket": "stream_stream",
}
Message = dict[str, Any]


def load(data: bytes) -> Message:
    """Return the message that `data` is; an empty one has no fields."""
    return dict(json.loads(data)) if data else {}


def dump(message: Message) -> bytes:
    """Return `message` as it goes over the wire."""
    return json.dumps(message).encode()


def handlers(methods: Mapping[str, Callable[..., Any]]) -> grpc.GenericRpcHandler:
    """Return what a server is given: `methods` by the names that they have in METHODS."""
    made = {
        name: getattr(grpc, f"{METHODS[name]}_rpc_method_handler")(method, load, dump)
        for name, method in methods.items()
    }
    return grpc.method_handlers_generic_handler(SERVICE, made)


def around(handler: Any, wrap: Callable[[Any], Any]) -> Any:
    """Return a handler like `handler`, which runs what `wrap` makes of its function."""
    kind = "_".join(
        "stream" if streams else "unary"
        for streams in (handler.request_streaming, handler.response_streaming)
    )
    make = getattr(grpc, f"{kind}_rpc_method_handler")
    behavior = wrap(getattr(handler, kind))
    return make(behavior, handler.request_deserializer, handler.response_serializer)


def sent(metadata: Any, key: str) -> str:
    """Return what the client has sent as `key`, "" for nothing."""
    return next((str(value) for name, value in metadata or () if name == key), "")


def asked(context: Any) -> str:
    """Return which point of failure the RPC asks for."""
    return sent(context.invocation_metadata(), drill.HEADER)
