"""The Flask example behind a server on the loopback: prometheus_shop.py PORT METRICS_PORT."""

from __future__ import annotations

import sys
from wsgiref.simple_server import WSGIRequestHandler, make_server

import prometheus_telemetry

prometheus_telemetry.start(int(sys.argv[2]))

from flask_shop.wsgi import app  # noqa: E402 - after the providers


class Quiet(WSGIRequestHandler):
    def log_message(self, *args: object) -> None:
        return


with make_server("127.0.0.1", int(sys.argv[1]), app, handler_class=Quiet) as server:
    print("ready", flush=True)
    server.serve_forever()
