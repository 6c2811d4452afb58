"""Where a fault can be put in the response of an endpoint, and which route a request takes."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from types import FrameType
from typing import Any, Literal

from starlette.background import BackgroundTask

from everylayer.asgi_types import ASGIApp, Message, Receive, Scope, Send
from everylayer.audit.lent import lend
from everylayer.faults.point import Point, Visit

from .describe import Part

# The route that runs: its endpoint and its dependencies may be those of another route, too.
_running: ContextVar[Door | None] = ContextVar("everylayer_audit_route", default=None)

ResponsePhase = Literal["stream", "background"]
BODY = "http.response.body"


class Door:
    """The place of an endpoint's app, which is marked and taken apart while somebody waits.

    Args:
        app: what stands there.
        put: replaces it.
    """

    __slots__ = ("_app", "_put", "_waiting")

    def __init__(self, app: Any, put: Callable[[Any], None]) -> None:
        self._app = app
        self._put = put
        self._waiting: list[ResponsePoint | RoutePoint] = []

    def wait(self, point: ResponsePoint | RoutePoint) -> None:
        """Call `point` where its phase is reached, and tell whether this route runs."""
        if not self._waiting:
            self._put(self._opened())
        if point not in self._waiting:
            self._waiting.append(point)

    def leave(self, point: ResponsePoint | RoutePoint) -> None:
        """Call it no more."""
        if point in self._waiting:
            self._waiting.remove(point)
            if not self._waiting:
                self._put(self._app)

    def runs(self, frame: FrameType) -> bool:
        """Tell whether what is running does so for this route."""
        return _running.get() is self

    def _opened(self) -> ASGIApp:
        app: Any = self._app

        async def opened(scope: Scope, receive: Receive, send: Send) -> None:
            token = _running.set(self)
            try:
                await app(scope, receive, self._sender(scope, send))
            finally:
                _running.reset(token)

        return opened

    def _sender(self, scope: Scope, send: Send) -> Send:
        waiting: dict[str, ResponsePoint] = {}
        for point in self._waiting:
            if isinstance(point, ResponsePoint) and point.answers(scope):
                waiting.setdefault(point.phase, point)
        stream, background = waiting.get("stream"), waiting.get("background")
        streamed = False

        async def send_apart(message: Message) -> None:
            nonlocal streamed
            last = message["type"] == BODY and not message.get("more_body", False)
            if stream is not None and message["type"] == "http.response.start":
                # A stream has no length that is known beforehand.
                headers = message.get("headers", ())
                kept = [line for line in headers if line[0].lower() != b"content-length"]
                await send({**message, "headers": kept})
            elif stream is not None and message["type"] == BODY and not streamed:
                streamed = True
                await send({**message, "more_body": True})
                await stream.work()()
                if last:
                    await send({"type": BODY, "body": b"", "more_body": False})
            else:
                await send(message)
            if last and background is not None:
                await BackgroundTask(background.work())()

        return send_apart


class RoutePoint:
    """A point in code that other routes may run as well: for this route only."""

    __slots__ = ("_door", "_point")

    def __init__(self, door: Door, point: Point) -> None:
        self._door = door
        self._point = point

    def arm(self, visit: Visit) -> None:
        """See `Point.arm`."""
        self._door.wait(self)
        self._point.arm(visit)

    def disarm(self) -> None:
        """See `Point.disarm`."""
        self._point.disarm()
        self._door.leave(self)


class ResponsePoint:
    """After the first chunk of an endpoint's response, or in its background task.

    Args:
        part: the endpoint, which what fails in the response goes by.
        method: the only one that it answers to, None for any.
    """

    __slots__ = ("_door", "_method", "_part", "_visit", "phase")

    def __init__(
        self, door: Door, phase: ResponsePhase, part: Part, method: str | None = None
    ) -> None:
        self.phase = phase
        self._door = door
        self._part = part
        self._method = method
        self._visit: Visit | None = None

    def arm(self, visit: Visit) -> None:
        """See `Point.arm`."""
        self._visit = visit
        self._door.wait(self)

    def disarm(self) -> None:
        """See `Point.disarm`."""
        self._visit = None
        self._door.leave(self)

    def answers(self, scope: Scope) -> bool:
        """Tell whether the request of this `scope` comes to this endpoint."""
        if scope["type"] != "http":
            return False
        return self._method in (None, scope["method"])

    def work(self) -> Any:
        """Return a function that stands for one of the endpoint's."""
        visit, part = self._visit, self._part

        async def body() -> None:
            if visit is not None:
                visit()

        return lend(body, part.name, part.module, part.code.co_name if part.code else "")
