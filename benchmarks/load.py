"""A small HTTP/1.1 client for load: open connections, each sending as soon as it got its answer."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from .spec import Batch

CONNECTIONS = 8


@dataclass
class Slice:
    """What one slice of load found.

    Attributes:
        latencies: seconds from sending a request to the end of its response.
        failed: how many responses were a 5xx.
        seconds: how long it took.
    """

    latencies: list[float] = field(default_factory=list)
    failed: int = 0
    seconds: float = 0.0


def run(port: int, batch: Batch, seconds: float, connections: int = CONNECTIONS) -> Slice:
    """Load a server on loopback for some seconds.

    Args:
        port: of the server.
        batch: its paths are sent in their order, again and again.
        seconds: after which no request is sent any more.
        connections: how many wait for an answer at the same time.
    """
    return asyncio.run(_run(port, batch, seconds, connections))


async def _run(port: int, batch: Batch, seconds: float, connections: int) -> Slice:
    found = Slice()
    requests = [_request(path, port) for path in batch.paths()]
    sent = 0
    begin = time.perf_counter()

    async def connection() -> None:
        nonlocal sent
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            while time.perf_counter() - begin < seconds:
                data = requests[sent % len(requests)]
                sent += 1
                start = time.perf_counter()
                writer.write(data)
                head = await reader.readuntil(b"\r\n\r\n")
                await _body(reader, head)
                found.latencies.append(time.perf_counter() - start)
                failed = head[9:10] == b"5"
                found.failed += failed
                # uvicorn closes the connection after an exception, without saying so.
                if failed or b"connection: close" in head.lower():
                    writer.close()
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
        finally:
            writer.close()

    await asyncio.gather(*(connection() for _ in range(connections)))
    found.seconds = time.perf_counter() - begin
    return found


def _request(path: str, port: int) -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"
    ).encode()


async def _body(reader: asyncio.StreamReader, head: bytes) -> None:
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            await reader.readexactly(int(value))
            return
        if name == b"transfer-encoding":
            # The last chunk; none of the bodies has these bytes within.
            await reader.readuntil(b"0\r\n\r\n")
            return
    raise ValueError(f"a response without its length: {head[:200]!r}")
