"""Where a fault can be put while the response of a handler is written."""

from __future__ import annotations

from types import CodeType
from typing import Any

from aiohttp import web

from everylayer.audit.lent import lend
from everylayer.boundaries.patch import Patch, Switch
from everylayer.faults.point import Visit

from .points import RequestPoint

# A plain string brings a warning from aiohttp 3.14 on.
_CALLED: Any = web.RequestKey("called", bool) if hasattr(web, "RequestKey") else "everylayer.called"
# Of the handlers that somebody waits at, by identity of their routes.
_waiting: dict[int, StreamPoint] = {}


class StreamPoint:
    """After the first part of a handler's body; a layer may answer in its place.

    Args:
        routes: that lead to the handler.
        codes: of the handler.
        name, module: of the handler, which what fails in its response goes by.
    """

    __slots__ = ("_module", "_name", "_routes", "_start", "_visit")

    def __init__(
        self, routes: list[Any], codes: tuple[CodeType, ...], name: str, module: str
    ) -> None:
        self._routes = routes
        self._start = RequestPoint(None, codes, "start", _called)
        self._name = name
        self._module = module
        self._visit: Visit | None = None

    def arm(self, visit: Visit) -> None:
        """See `Point.arm`."""
        self._visit = visit
        self._start.arm(_nothing)
        _waiting.update((id(route), self) for route in self._routes)
        for patch in _PATCHES:
            patch.put()

    def disarm(self) -> None:
        """See `Point.disarm`."""
        self._visit = None
        self._start.disarm()
        for route in self._routes:
            _waiting.pop(id(route), None)
        if not _waiting:
            for patch in _PATCHES:
                patch.undo()

    def reached(self) -> None:
        """Call whoever waits, in a function that stands for the handler's own."""
        if self._visit is not None:
            lend(_body, self._name, self._module)(self._visit)


def _called(request: Any) -> bool:  # Run by a callback.
    request[_CALLED] = True
    return False


def _nothing() -> None:
    pass


def _body(visit: Visit) -> None:
    visit()


def _waiting_at(response: Any) -> StreamPoint | None:
    request = getattr(response, "_req", None)
    if request is None or not request.get(_CALLED):
        return None
    return _waiting.get(id(request.match_info.route))


def _writing(original: Any, _: Switch) -> Any:
    async def write(self: Any, data: Any) -> None:
        point = _waiting_at(self)
        await original(self, data)
        if point is not None:
            point.reached()

    return write


def _ending(original: Any, _: Switch) -> Any:
    async def write_eof(self: Any, data: bytes = b"") -> None:
        point = _waiting_at(self)
        if point is not None and self.body and not getattr(self, "_must_be_empty_body", False):
            # Before aiohttp 3.12 they have been sent.
            send_headers = getattr(self._payload_writer, "send_headers", None)
            if send_headers is not None:
                send_headers()
            point.reached()
        await original(self, data)

    return write_eof


_PATCHES = (
    Patch(web.StreamResponse, "write", _writing),
    Patch(web.Response, "write_eof", _ending),
)
