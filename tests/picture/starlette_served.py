"""The Starlette example behind uvicorn on the loopback: starlette_served.py PORT METRICS_PORT."""

from __future__ import annotations

import sys

import uvicorn

import prometheus_telemetry

prometheus_telemetry.start(int(sys.argv[2]))

from starlette_shop.asgi import app  # noqa: E402 - after the providers


class Server(uvicorn.Server):
    """Says when it can be asked."""

    async def startup(self, sockets: object = None) -> None:
        """Begin to listen."""
        await super().startup()
        print("ready", flush=True)


Server(uvicorn.Config(app, "127.0.0.1", int(sys.argv[1]), log_level="critical")).run()
