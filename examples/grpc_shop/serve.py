"""Serve the shop: `python -m grpc_shop.serve [--aio] [--stock] [ADDRESS]`."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

import grpc

import everylayer_grpc

from . import aio_server, server

SECONDS = 5.0


def main() -> None:
    """Serve until SIGTERM or Ctrl-C; the port is told on stdout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--aio", action="store_true", help="with asyncio, not with threads")
    parser.add_argument("--stock", action="store_true", help="with OpenTelemetry alone")
    parser.add_argument("address", nargs="?", default="127.0.0.1:8000")
    chosen = parser.parse_args()
    if chosen.aio:
        asyncio.run(serve_aio(chosen.address, stock=chosen.stock))
    else:
        serve(chosen.address, stock=chosen.stock)


def serve(address: str, *, stock: bool) -> None:
    """Serve with threads."""
    # The one line; it may stand at any place among the others.
    made = server.create_server([] if stock else [everylayer_grpc.server_interceptor()])
    tell(made.add_insecure_port(address))
    made.start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: made.stop(SECONDS))
    made.wait_for_termination()


async def serve_aio(address: str, *, stock: bool) -> None:
    """Serve with asyncio."""
    given: list[grpc.aio.ServerInterceptor] = []
    if not stock:
        given = [everylayer_grpc.aio_server_interceptor()]  # the one line
    made = aio_server.create_server(given)
    tell(made.add_insecure_port(address))
    await made.start()
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    await over.wait()
    await made.stop(SECONDS)


def tell(port: int) -> None:
    """Say where the shop is to be found."""
    sys.stdout.write(f"port {port}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
