"""Where a fault can be put while the response of a handler is written."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from everylayer.audit.lent import lend
from everylayer.boundaries.patch import Patch, Switch
from everylayer.faults.point import Visit

# Of the handlers that somebody waits at, by identity of their routes.
_waiting: dict[int, StreamPoint] = {}


class StreamPoint:
    """After the first part of a handler's body.

    Args:
        routes: that lead to the handler.
        name, module: of the handler, which what fails in its response goes by.
    """

    __slots__ = ("_module", "_name", "_routes", "_visit")

    def __init__(self, routes: list[Any], name: str, module: str) -> None:
        self._routes = routes
        self._name = name
        self._module = module
        self._visit: Visit | None = None

    def arm(self, visit: Visit) -> None:
        """See `Point.arm`."""
        self._visit = visit
        _waiting.update((id(route), self) for route in self._routes)
        for patch in _PATCHES:
            patch.put()

    def disarm(self) -> None:
        """See `Point.disarm`."""
        self._visit = None
        for route in self._routes:
            _waiting.pop(id(route), None)
        if not _waiting:
            for patch in _PATCHES:
                patch.undo()

    def reached(self) -> None:
        """Call whoever waits, in a function that stands for the handler's own."""
        if self._visit is not None:
            lend(_body, self._name, self._module)(self._visit)


def _body(visit: Visit) -> None:
    visit()


def _waiting_at(response: Any) -> StreamPoint | None:
    request = getattr(response, "_req", None)
    info = getattr(request, "match_info", None)
    return _waiting.get(id(info.route)) if info is not None else None


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
