"""The other service: who stocks what. A client for each style of app, and a stand-in server."""

from __future__ import annotations

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import requests

from . import drill
from .errors import InventoryUnavailable

TIMEOUT = 5.0


def url(sku: str) -> str:
    """Return where the stock of `sku` is to be found."""
    return f"{os.environ.get('INVENTORY_URL', 'http://127.0.0.1:9000')}/stock/{sku}"


def in_stock(sku: str, asked: str | None) -> int:
    """Return how many of `sku` are left.

    Raises:
        InventoryUnavailable: the service failed, or cannot be reached.
    """
    try:
        answer = requests.get(url(sku), headers={drill.HEADER: asked or ""}, timeout=TIMEOUT)
        answer.raise_for_status()
        return int(answer.json()["left"])
    except requests.RequestException as error:
        raise InventoryUnavailable(f"inventory cannot tell the stock of {sku}") from error


async def in_stock_async(client: httpx.AsyncClient, sku: str, asked: str | None) -> int:
    """Return how many of `sku` are left.

    Raises:
        InventoryUnavailable: the service failed, or cannot be reached.
    """
    try:
        answer = await client.get(url(sku), headers={drill.HEADER: asked or ""})
        answer.raise_for_status()
        return int(answer.json()["left"])
    except httpx.HTTPError as error:
        raise InventoryUnavailable(f"inventory cannot tell the stock of {sku}") from error


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        failed = self.headers.get(drill.HEADER) == "inventory"
        left = 0 if self.path.endswith("/tea") else 12
        body = json.dumps({"error": "maintenance"} if failed else {"left": left}).encode()
        self.send_response(503 if failed else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Keep the terminal for the demo."""


def server() -> ThreadingHTTPServer:
    """Return the stand-in, bound to a free port of the loopback interface, not yet serving."""
    made = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    made.daemon_threads = True
    return made
