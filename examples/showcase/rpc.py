"""One RPC over the wire, and what came back."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import grpc

from .client import TIMEOUT, Answer

# Those that semantic conventions call errors of a server; what they and others count as here.
_OF_THE_SERVER = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
_FINE, _REFUSED, _FAILED = 200, 400, 500
# What each method takes and gives: `stream` or `unary`.
KINDS = {
    "Order": "unary_unary",
    "Stock": "unary_unary",
    "Report": "unary_stream",
    "Restock": "stream_unary",
    "Basket": "stream_stream",
}


def call(port: int, asked: str, headers: Mapping[str, str], trace_id: str) -> Answer:
    """Call a method of the shop in the trace `trace_id`.

    Args:
        port: of loopback.
        asked: the method and its messages, such as `Stock {"sku": "tea"}`.
        headers: further metadata.
        trace_id: hexadecimal.
    """
    name, _, messages = asked.partition(" ")
    given = json.loads(f"[{messages}]")
    takes_stream = KINDS[name].startswith("stream")
    metadata = (
        ("traceparent", f"00-{trace_id}-{uuid.uuid4().hex[:16]}-01"),
        *((key, value) for key, value in headers.items() if value),
    )
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = getattr(channel, KINDS[name])(f"/shop.Shop/{name}", _dump, None)
        request = iter(given) if takes_stream else given[0]
        if KINDS[name].endswith("stream"):
            rpc = stub(request, timeout=TIMEOUT, metadata=metadata)
            return _answer(rpc, _taken(rpc))
        try:
            body, rpc = stub.with_call(request, timeout=TIMEOUT, metadata=metadata)
        except grpc.RpcError as error:
            return _answer(error, [])
        return _answer(rpc, [body])


def _dump(message: Any) -> bytes:
    return json.dumps(message).encode()


def _taken(rpc: Any) -> list[bytes]:
    def messages() -> Iterator[bytes]:
        try:
            yield from rpc
        except grpc.RpcError:
            return

    return list(messages())


def _answer(rpc: Any, body: list[bytes]) -> Answer:
    code = rpc.code().name
    pairs = [*(rpc.initial_metadata() or ()), *(rpc.trailing_metadata() or ())]
    status = _FAILED if code in _OF_THE_SERVER else _FINE if code == "OK" else _REFUSED
    metadata = tuple((str(key), str(value)) for key, value in pairs)
    headers = (*metadata, ("grpc-message", rpc.details() or ""))
    return Answer(status, headers, b"\n".join(body), code=code)
