"""What aiohttp calls the things that the core asks about."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from aiohttp import web

from everylayer import awaited
from everylayer.chain import raised_in

# A plain string brings a warning from aiohttp 3.14 on.
_KEY: Any = web.RequestKey("ledger", object) if hasattr(web, "RequestKey") else "everylayer.ledger"


class Exchange(awaited.Exchange):
    """The ledger of a request to aiohttp's server."""

    framework = "aiohttp"
    timeout_status = 504

    @staticmethod
    def of(request: Any) -> Any:
        return request.get(_KEY)

    @staticmethod
    def keep(request: Any, exchange: awaited.Exchange) -> None:
        request[_KEY] = exchange

    @staticmethod
    def scope_of(request: Any) -> dict[str, Any]:
        transport, resource = request.transport, request.match_info.route.resource
        address = (lambda name: None) if transport is None else transport.get_extra_info
        return {
            "type": "http",
            "http_version": f"{request.version.major}.{request.version.minor}",
            "method": request.method,
            "scheme": request.scheme,
            "path": request.path,
            "query_string": request.rel_url.raw_query_string.encode(errors="backslashreplace"),
            "headers": list(request.raw_headers),
            "client": address("peername"),
            "server": address("sockname"),
            "route": resource and SimpleNamespace(path=resource.canonical),
        }

    @staticmethod
    def client_status(exc: BaseException) -> int | None:
        return status if (status := Exchange.status_of(exc) or 500) < 500 else None

    @staticmethod
    def is_of_client(exc: BaseException, request: Any) -> bool:
        # aiohttp's own streams say it so; an error of a database is one, whoever waits for it.
        lost = request.transport is None or request.transport.is_closing()
        return lost and issubclass(type(exc), ConnectionError) and raised_in(exc, "aiohttp")

    @staticmethod
    def has_begun(request: Any) -> bool:
        return bool(request.writer.output_size)

    @staticmethod
    def status_of(response: Any) -> int | None:
        cls = type(response)  # An abstract class is asked in Python, and slowly.
        known = cls is web.Response or issubclass(cls, web.StreamResponse)
        return response.status if known else None

    @staticmethod
    def headers_of(response: Any) -> Any:
        return None if response.prepared else response.headers
