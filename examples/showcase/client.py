"""One request over the wire, and what came back."""

from __future__ import annotations

import http.client
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

# Differ between two requests whatever the app does.
_VOLATILE = frozenset({"date"})
REQUEST_ID = str(uuid.UUID("5f2b1f0e-7c35-4c0e-9d5a-0c5a1e6d7b42"))
TIMEOUT = 15.0


@dataclass(frozen=True)
class Answer:
    """What the client saw.

    Attributes:
        status: 0 where the connection was closed without an answer.
        headers: names in lower case, without those that change by themselves.
        body: as far as it came.
        complete: False where the body was cut off.
        code: the status of an RPC, whose `status` is what HTTP would say; "" over HTTP.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    complete: bool = True
    code: str = ""

    def __str__(self) -> str:
        if self.code:
            return self.code
        if not self.status:
            return "connection closed"
        return str(self.status) if self.complete else f"{self.status}, cut off"


def send(port: int, path: str, headers: Mapping[str, str], trace_id: str) -> Answer:
    """Send a GET that continues the trace `trace_id`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    complete = True
    try:
        connection.request("GET", path, headers={**_tracing(trace_id), **headers})
        response = connection.getresponse()
        try:
            body = response.read()
        except http.client.IncompleteRead as cut:
            body, complete = cut.partial, False
        kept = tuple(
            (name.lower(), value)
            for name, value in response.getheaders()
            if name.lower() not in _VOLATILE
        )
        return Answer(response.status, kept, body, complete)
    except (http.client.HTTPException, ConnectionError):
        return Answer(0, complete=False)
    finally:
        connection.close()


def _tracing(trace_id: str) -> dict[str, str]:
    return {
        "traceparent": f"00-{trace_id}-{uuid.uuid4().hex[:16]}-01",
        "x-request-id": REQUEST_ID,
    }
