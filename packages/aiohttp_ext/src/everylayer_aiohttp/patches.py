"""Every change made to aiohttp, in one place.

| target | since | why | undone |
|---|---|---|---|
| `RequestHandler.finish_response` | 3.11 | signals and bodies that fail after the last layer |
  `undo()` |
| `RequestHandler.handle_error` | 3.11 | the error context on what aiohttp answers an error with |
  `undo()` |
| `Application.__init__` | 3.11 | every app of the process, under the instrumentor only |
  `switch_off()` |
"""

from __future__ import annotations

from typing import Any

from aiohttp.web_protocol import RequestHandler

from everylayer.awaited import see
from everylayer.boundaries.patch import Patch
from everylayer.chain import drop_frame
from everylayer.fit import takes, warn_left_alone

from .exchange import Exchange


def _finish_response(original: Any, switch: Any) -> Any:
    async def finish_response(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await original(self, request, *args, **kwargs)
        except BaseException as exc:
            see(exc, request, Exchange.of(request), None, "response")
            drop_frame(exc)
            raise

    return finish_response


def _handle_error(original: Any, switch: Any) -> Any:
    def handle_error(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            response = original(self, request, *args, **kwargs)
        except BaseException as exc:
            drop_frame(exc)
            raise
        ledger = Exchange.of(request)
        if ledger is not None and ledger.told:
            response.headers[ledger.settings.error_context_header] = ledger.told
        return response

    return handle_error


_MADE = {
    "finish_response": (_finish_response, "self request resp start_time"),
    "handle_error": (_handle_error, "self request status exc message"),
}
_PATCHES = [
    Patch(RequestHandler, name, make)
    for name, (make, parameters) in _MADE.items()
    if takes(getattr(RequestHandler, name), parameters)
]
if len(_PATCHES) < len(_MADE):
    _LOST = "what fails while a response is sent"
    warn_left_alone("web_protocol.RequestHandler", "aiohttp", _LOST, "everylayer-aiohttp")


def put() -> None:
    """Put each in place whose target is what it was."""
    for patch in _PATCHES:
        patch.put()


def undo() -> None:
    """Put back what was there."""
    for patch in _PATCHES:
        patch.undo()
