"""Drive an ASGI app the way a server does: requests, websockets, lifespans, clients that leave."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from contract import drive
from contract.responses import Raised, Run
from everylayer.boundaries import aftermath


@dataclass(frozen=True)
class Request:
    """What the client does.

    Attributes:
        path: path and query.
        method: of an HTTP request.
        headers: besides `host`.
        body: of an HTTP request.
        half: more of the body is said to come.
        kind: `http`, `websocket` or `lifespan`.
        texts: what a websocket client sends after it is accepted.
        leaves_after: body chunks after which an HTTP client goes away, 0: once it has sent its
            request; None: it stays.
        cancel: the server cancels the request's task when the client goes away.
        spec: ASGI spec version; below 2.4 Starlette streams in a task group.
    """

    path: str = "/"
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    half: bool = False
    kind: str = "http"
    texts: tuple[str, ...] = ()
    leaves_after: int | None = None
    cancel: bool = False
    spec: str = "2.4"


@dataclass
class Client:
    """One end of the conversation; keeps every message that the app sent."""

    request: Request
    sent: list[Any] = field(default_factory=list)
    raised: Raised | None = None

    def scope(self) -> dict[str, Any]:
        scope = drive.scope(self.request.path, self.request.headers, self.request.method)
        scope["asgi"]["spec_version"] = self.request.spec
        if self.request.kind == "http":
            return scope
        if self.request.kind == "lifespan":
            return {"type": "lifespan", "asgi": scope["asgi"], "state": {}}
        for name in ("method", "http_version"):
            del scope[name]
        return {**scope, "type": "websocket", "scheme": "ws", "subprotocols": [], "extensions": {}}

    async def call(self, app: Callable[..., Awaitable[None]]) -> None:
        """Serve the request; what leaves the app is kept, never raised."""
        gone = asyncio.Event()
        incoming = iter(self._incoming())

        async def receive() -> Any:
            message = next(incoming, None)
            if message is None:
                if self.request.leaves_after != 0:
                    await gone.wait()
                kind = self.request.kind
                return {"type": f"{kind}.disconnect", **({"code": 1001} if kind != "http" else {})}
            await asyncio.sleep(0)
            return message

        chunks = 0

        async def send(message: Any) -> None:
            nonlocal chunks
            if gone.is_set() and self.request.spec >= "2.4" and self.request.leaves_after:
                raise OSError("the client has left")
            self.sent.append(dict(message))
            if message["type"] == "http.response.body":
                chunks += 1
                if not message.get("more_body", False) or chunks == self.request.leaves_after:
                    gone.set()
            await asyncio.sleep(0)

        task = asyncio.ensure_future(app(self.scope(), receive, send))
        if self.request.cancel:
            waiter = asyncio.ensure_future(gone.wait())
            await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
            waiter.cancel()
            task.cancel()
        try:
            await task
        except BaseException as error:
            self.raised = Raised.of(error)

    def _incoming(self) -> Iterable[Any]:
        if self.request.kind == "http":
            half = self.request.half
            yield {"type": "http.request", "body": self.request.body, "more_body": half}
        elif self.request.kind == "websocket":
            yield {"type": "websocket.connect"}
            for text in self.request.texts:
                yield {"type": "websocket.receive", "text": text}
            yield {"type": "websocket.disconnect", "code": 1001, "reason": ""}
        else:
            yield {"type": "lifespan.startup"}
            yield {"type": "lifespan.shutdown"}

    def run(self) -> Run:
        """Describe the conversation as the shared tests do; a websocket's body is its messages."""
        starts = [m for m in self.sent if m["type"] == "http.response.start"]
        if self.request.kind == "http":
            start = starts[0] if starts else {}
            body = b"|".join(bytes(m.get("body", b"")) for m in self.sent if m not in starts)
        else:
            start, body = {}, repr([_without_stack(m) for m in self.sent]).encode()
        headers = tuple(
            (n.decode("latin-1"), v.decode("latin-1")) for n, v in start.get("headers", ())
        )
        return Run(start.get("status"), headers, body, self.raised)


def _without_stack(message: dict[str, Any]) -> dict[str, Any]:
    # A failed lifespan sends its traceback as text: keep what the app said, not the frames.
    text = message.get("message", "")
    return {**message, "message": text.strip().splitlines()[-1]} if text else message


def converse(app: Callable[..., Awaitable[None]], request: Request) -> Run:
    """Serve one request in an event loop of its own."""
    client = Client(request)
    loop = asyncio.new_event_loop()
    try:
        # A KeyboardInterrupt or SystemExit stops the loop with the task unfinished: it is run on.
        task = loop.create_task(client.call(app))
        while not task.done():
            try:
                loop.run_until_complete(task)
            except (KeyboardInterrupt, SystemExit):
                continue
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
    # What a close has brought to light is told a moment later.
    assert aftermath.settle()
    return client.run()
