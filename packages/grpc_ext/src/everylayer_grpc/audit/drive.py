"""RPCs to a server in this process, over a Unix socket in a folder of its own.

Each has a server for itself: a thread is watched for faults if it begins after they are armed.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from grpc import _channel as sync_channel
from opentelemetry.instrumentation.utils import suppress_instrumentation

from everylayer.audit import sending
from everylayer.audit.model import Answer, Request

from ..codes import http_status

# How long a server may take to end what it does, seconds.
_GRACE = 5.0
_WORKERS = 4
_BINARY = "-bin"
Encode = Callable[[Request], list[bytes]]


class Driver:
    """Calls a server with threads.

    Args:
        make: returns one that runs its methods in the pool that is given.
        encode: returns the messages of a request.
    """

    def __init__(self, make: Callable[[Any], Any], encode: Encode) -> None:
        self.leftover = ""
        self._make = make
        self._encode = encode
        self._threads = sending.Threads()

    def send(self, request: Request) -> Answer:
        messages = self._encode(request)
        pool = ThreadPoolExecutor(_WORKERS)
        server = self._make(pool)
        with _socket() as address:
            server.add_insecure_port(address)
            server.start()
            try:
                answer = _called(address, request, messages)
            finally:
                server.stop(_GRACE).wait()
                pool.shutdown()
        self._threads.settle()
        return answer

    def close(self) -> None:
        """Do nothing: each server has ended with its RPC."""


def _called(address: str, request: Request, messages: list[bytes]) -> Answer:
    with suppress_instrumentation(), _plain_channel(address) as channel:
        # To the server each kind of method looks the same.
        rpc = channel.stream_stream(request.path)(iter(messages), metadata=_metadata(request))
        received = []
        try:
            for message in rpc:
                received.append(message)
        except grpc.RpcError:
            pass  # Its code says so.
        pairs = (*(rpc.initial_metadata() or ()), *(rpc.trailing_metadata() or ()))
        return _answer(received, rpc.code(), rpc.details(), pairs)


def _plain_channel(address: str) -> Any:
    """Return a channel that nobody has instrumented: what it began would be the app's spans."""
    return sync_channel.Channel(address, (), None, None)


class AioDriver:
    """Calls an asyncio server, on a loop of its own.

    Args:
        make: returns one.
        encode: returns the messages of a request.
    """

    def __init__(self, make: Callable[[], Any], encode: Encode) -> None:
        self.leftover = ""
        self._make = make
        self._encode = encode
        self._threads = sending.Threads()
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)

    def send(self, request: Request) -> Answer:
        answer = self._loop.run_until_complete(self._send(request, self._encode(request)))
        self._threads.settle()
        return answer

    async def _send(self, request: Request, messages: list[bytes]) -> Answer:
        server = self._make()
        with _socket() as address:
            server.add_insecure_port(address)
            await server.start()
            try:
                # A client of asyncio's fails by itself where the answer comes before its last
                # message has left.
                return await asyncio.to_thread(_called, address, request, messages)
            finally:
                await server.stop(_GRACE)

    def close(self) -> None:
        """End the loop."""
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        asyncio.set_event_loop(None)
        self._loop.close()


@contextmanager
def _socket() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="el-")
    try:
        yield f"unix:{folder}/s"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _metadata(request: Request) -> tuple[tuple[str, Any], ...]:
    return tuple(
        (name.lower(), base64.b64decode(value) if name.lower().endswith(_BINARY) else value)
        for name, value in request.headers
        if name.lower() != "host"
    )


def _answer(
    received: list[bytes], code: grpc.StatusCode, details: str | None, pairs: Iterable[Any]
) -> Answer:
    digest = hashlib.sha256()
    for message in received:
        digest.update(len(message).to_bytes(4, "big") + message)
    metadata = [
        (str(name), value.hex() if isinstance(value, bytes) else str(value))
        for name, value in pairs
    ]
    return Answer(
        status=http_status(code),
        headers=(*metadata, ("grpc-message", details or "")),
        body=digest.hexdigest() if received else "",
        size=sum(map(len, received)),
        code=code.name,
    )
