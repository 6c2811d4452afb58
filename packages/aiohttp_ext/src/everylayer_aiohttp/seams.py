"""What a seam of aiohttp's tells the core: the error, its status, and the request as a scope."""

from __future__ import annotations

from types import FrameType, SimpleNamespace
from typing import Any

from aiohttp import web

from everylayer.boundaries import arrival
from everylayer.chain import traceback_of
from everylayer.failsafe import contained
from everylayer.layers import Layer
from everylayer.ledger import Ledger
from everylayer.observer import observe
from everylayer.sighting import SWALLOWED

# What a request keeps its ledger under; a plain string brings a warning from aiohttp 3.14 on.
KEY: Any = web.RequestKey("ledger", object) if hasattr(web, "RequestKey") else "everylayer.ledger"


class Exchange(Ledger):
    """The ledger of a request to aiohttp's server.

    Attributes:
        told: the error context, for a response that the server makes of an error; empty for none.
    """

    framework = "aiohttp"
    told = ""


@contained
def see(exc: BaseException, request: Any, layer: Layer | None = None, phase: str = "call") -> None:
    """Show `exc` to the ledger of its request."""
    ledger = request.get(KEY)
    if ledger is None or ledger.again(exc) or _client_left(exc, request):
        return
    observe(exc, layer, phase, ledger=ledger, client_status=answered_with(exc))
    if ledger.page is not None and ledger.page.came is None:
        arrival.note(ledger, scope_of(request))


def swallowed(exc: BaseException, layer: Layer, frame: FrameType | None) -> None:
    """Show what `layer` handled by itself in `frame`: the monitor calls it."""
    while frame is not None:
        request: Any = frame.f_locals.get("request")
        if isinstance(request, web.BaseRequest):
            see(exc, request, layer, SWALLOWED)
            return
        frame = frame.f_back


def answered_with(exc: BaseException) -> int | None:
    """Return the status that aiohttp gives `exc`, None for a failure."""
    if not issubclass(type(exc), web.HTTPException):
        return None
    status = getattr(exc, "status", 500)
    return status if status < 500 else None


def _client_left(exc: BaseException, request: Any) -> bool:
    """Tell an error of aiohttp's own streams to a client that went away from one of the app's."""
    transport, tb = request.transport, traceback_of(exc)
    if not issubclass(type(exc), ConnectionError) or not (
        transport is None or transport.is_closing()
    ):
        return False
    while tb is not None and tb.tb_next is not None:
        tb = tb.tb_next
    return tb is not None and str(tb.tb_frame.f_globals.get("__name__")).startswith("aiohttp.")


def scope_of(request: web.Request) -> dict[str, Any]:
    """Return the request as an ASGI server would have told of it: what the core asks about."""
    transport = request.transport
    address = transport.get_extra_info if transport is not None else lambda name: None
    resource = request.match_info.route.resource
    return {
        "type": "http",
        "http_version": f"{request.version.major}.{request.version.minor}",
        "method": request.method,
        "scheme": request.scheme,
        "path": request.path,
        "query_string": request.rel_url.raw_query_string.encode("latin-1", "backslashreplace"),
        "headers": list(request.raw_headers),
        "client": address("peername"),
        "server": address("sockname"),
        "route": SimpleNamespace(path=resource.canonical) if resource is not None else None,
    }
