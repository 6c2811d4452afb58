"""Every change made to aiohttp, in one place.

| target | since | why | undone |
|---|---|---|---|
| `RequestHandler.finish_response` | 3.11 | signals and bodies that fail after the last layer |
  `remove()` |
| `RequestHandler.handle_error` | 3.11 | the error context on the response that aiohttp makes of an
  error; passed only then | `remove()` |
| `Application.__init__` | 3.11 | each app of a process without a line of code | `remove_all()` |
"""

from __future__ import annotations

from functools import wraps
from typing import Any

from aiohttp.web_protocol import RequestHandler

from everylayer.chain import drop_frame
from everylayer.fit import takes, warn_left_alone

from .seams import KEY, see

_ORIGINAL = "_everylayer_original"
_FINISH = "self request resp start_time"
_ERROR = "self request status exc message"
_LOST = "what fails while a response is sent"


def install() -> None:
    """Patch the class; a second call changes nothing."""
    finish, error = RequestHandler.finish_response, RequestHandler.handle_error
    if hasattr(finish, _ORIGINAL):
        return
    if not (takes(finish, _FINISH) and takes(error, _ERROR)):
        name = "aiohttp.web_protocol.RequestHandler"
        warn_left_alone(name, "aiohttp", _LOST, "everylayer-aiohttp")
        return

    @wraps(finish)
    async def finish_response(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await finish(self, request, *args, **kwargs)
        except BaseException as exc:
            see(exc, request, None, "response")
            drop_frame(exc)
            raise

    @wraps(error)
    def handle_error(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        response = error(self, request, *args, **kwargs)
        ledger = request.get(KEY)
        if ledger is not None and ledger.told:
            response.headers[ledger.settings.error_context_header] = ledger.told
        return response

    for replaced, original in ((finish_response, finish), (handle_error, error)):
        setattr(replaced, _ORIGINAL, original)
        setattr(RequestHandler, replaced.__name__, replaced)


def remove() -> None:
    """Put back what `install` replaced."""
    for name in ("finish_response", "handle_error"):
        original = getattr(getattr(RequestHandler, name), _ORIGINAL, None)
        if original is not None:
            setattr(RequestHandler, name, original)
